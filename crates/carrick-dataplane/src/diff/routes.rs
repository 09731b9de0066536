//! The routes of Carrick's table, merged along their order.

use std::cmp::Ordering;

use carrick_topology::DeviceName;

use super::changes::Changes;
use crate::operation::Operation;
use crate::route::{TableRoute, by_identity};
use crate::sysctl::Fate;

/// What differs in the routes of one table, both lists in the order of their identity. `fate` tells what becomes of a device before
/// routes are written: those of a device that is created again are gone, those of a missing device cannot be written.
pub(crate) fn differences(wanted: &[TableRoute], found: &[TableRoute], fate: &impl Fn(&DeviceName) -> Fate) -> Changes {
    let fate_of = |route: &TableRoute| route.device().map_or(Fate::Stays, fate);
    let mut wanted = wanted.iter().filter(|route| fate_of(route) != Fate::IsMissing).peekable();
    let mut found = found.iter().filter(|route| fate_of(route) == Fate::Stays).peekable();
    let mut changes = Changes::default();
    loop {
        let order = match (wanted.peek(), found.peek()) {
            (Some(wanted), Some(found)) => by_identity(wanted, found),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return changes,
        };
        match order {
            Ordering::Less => changes.made.extend(wanted.next().cloned().map(Operation::SetRoute)),
            Ordering::Greater => changes.removed.extend(found.next().cloned().map(Operation::RemoveRoute)),
            Ordering::Equal => {
                let Some(wanted) = wanted.next() else { return changes };
                let twin = found.next();
                let more = found.peek().is_some_and(|found| by_identity(wanted, found).is_eq());
                // Almost every route is there once and as wanted.
                if more || twin != Some(wanted) {
                    let others = std::iter::from_fn(|| found.next_if(|found| by_identity(wanted, found).is_eq()));
                    let twins: Vec<&TableRoute> = twin.into_iter().chain(others).collect();
                    one_of(wanted, &twins, &mut changes);
                }
            }
        }
    }
}

/// Leaves `wanted` alone of the routes that share its identity.
fn one_of(wanted: &TableRoute, found: &[&TableRoute], changes: &mut Changes) {
    if !found.contains(&wanted) {
        changes.made.push(Operation::SetRoute(wanted.clone()));
    }
    let replaced = usize::from(!found.contains(&wanted));
    let surplus = found.iter().filter(|found| **found != wanted).skip(replaced);
    changes.removed.extend(surplus.map(|route| Operation::RemoveRoute((*route).clone())));
}
