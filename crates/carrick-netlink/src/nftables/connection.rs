//! Asking the kernel for tables, and changing them.

use std::collections::BTreeMap;

use super::abi::{FAMILY_ANY, chain, data, message, rule, set, table};
use super::attribute::{Attributes, Received, required};
use super::batch::{Batch, TableName, generic_payload, greatest, payload};
use super::expression::plain_value;
use super::interval::{Bound, Intervals};
use super::set::{Elements, Field, Key, Set, Target, Value};
use super::table::{BaseChain, Chain, ChainKind, Hook, Policy, Table, TableFamily};
use super::{Rule, Verdict};
use crate::frame::NETFILTER_HEADER_LENGTH;
use crate::{Cause, Error, Protocol, Request, Socket};

const SNAPSHOT_ATTEMPTS: usize = 16;

/// The number of the last change of anything in nftables, in this network namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Generation(pub(super) u32);

/// A chain where packets enter a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedChain {
    /// The table.
    pub table: TableName,
    /// The chain's name.
    pub name: String,
    /// Where packets enter.
    pub base: BaseChain,
}

/// A rule that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedRule {
    /// The number by which the kernel knows it.
    pub handle: u64,
    /// What it does.
    pub rule: Rule,
}

/// A connection to nftables in the network namespace of the thread that opened it.
#[derive(Debug)]
pub struct Nftables {
    socket: Socket,
}

impl Generation {
    /// The generation behind one more change.
    #[must_use]
    pub fn next(self) -> Self {
        // The kernel leaves 0 out.
        Self(self.0.checked_add(1).unwrap_or(1))
    }
}

impl Nftables {
    /// Opens a connection in the calling thread's network namespace.
    ///
    /// # Errors
    ///
    /// The kernel lacks nfnetlink, or the process has no file descriptor left.
    pub fn open() -> Result<Self, Error> {
        Socket::open(Protocol::Netfilter).map(|socket| Self { socket })
    }

    /// The number of messages that could change the kernel which went over this connection so far.
    #[must_use]
    pub fn writes(&self) -> u64 {
        self.socket.writes()
    }

    /// The generation in effect: one short question.
    ///
    /// # Errors
    ///
    /// The kernel lacks nf_tables, or the process lacks `CAP_NET_ADMIN`.
    pub fn generation(&mut self) -> Result<Generation, Error> {
        let request = Request::get(
            "get nftables generation",
            "",
            message::GET_GENERATION,
            generic_payload(FAMILY_ANY, 0, &Attributes::new()),
        );
        let answers = self.socket.query(&request, |frame| Ok(attributes(frame.payload).u32(table::GENERATION_ID)))?;
        required(answers.into_iter().next(), "get nftables generation").map(Generation)
    }

    /// Whether there is a table of this name, in whatever state.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn has_table(&mut self, name: &TableName) -> Result<bool, Error> {
        self.table_flags(name).map(|flags| flags.is_some())
    }

    /// Reads a table with everything in it. A change in the middle can mix two states; inside
    /// [`Nftables::snapshot`] it cannot.
    ///
    /// # Errors
    ///
    /// The kernel refused, or parts of the table vanished meanwhile.
    pub fn table(&mut self, name: &TableName) -> Result<Option<Table>, Error> {
        let Some(flags) = self.table_flags(name)? else {
            return Ok(None);
        };
        let mut found = Table::new(name.family, &name.name);
        found.flags = flags;
        for (table, chain_name, base) in self.chains(name.family)? {
            if table == name.name {
                let rules = Vec::new();
                found.chains.insert(chain_name, Chain { base, rules });
            }
        }
        let filter = Attributes::new().with_text(rule::TABLE, &name.name);
        for (chain_name, listed) in self.list_rules(name, &filter)? {
            let chain = found.chains.entry(chain_name).or_default();
            chain.rules.push(listed.rule);
        }
        for (set_name, mut set) in self.sets(name)? {
            set.elements = self.elements(name, &set_name, &set)?;
            found.sets.insert(set_name, set);
        }
        Ok(Some(found))
    }

    /// Runs questions until no change came between them; returns their generation too.
    ///
    /// # Errors
    ///
    /// A question failed though nothing changed, or tables kept changing.
    pub fn snapshot<T>(
        &mut self,
        mut questions: impl FnMut(&mut Self) -> Result<T, Error>,
    ) -> Result<(Generation, T), Error> {
        let mut before = self.generation()?;
        for _ in 0..SNAPSHOT_ATTEMPTS {
            let answers = questions(self);
            let after = self.generation()?;
            if before == after {
                return answers.map(|answers| (before, answers));
            }
            before = after;
        }
        Err(Error::new("read nftables", "", Cause::Interrupted))
    }

    /// The base chains of all tables at one hook, in IPv4 and IPv6 or both.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn base_chains(&mut self, hook: Hook) -> Result<Vec<ListedChain>, Error> {
        let mut chains = Vec::new();
        for family in [TableFamily::Inet, TableFamily::Ipv4, TableFamily::Ipv6] {
            let listed = self.chains(family)?;
            chains.extend(listed.into_iter().filter_map(|(table, name, base)| {
                let base = base.filter(|base| base.hook == hook)?;
                Some(ListedChain { table: TableName::new(family, table), name, base })
            }));
        }
        Ok(chains)
    }

    /// The rules of one chain, in order; none where there is no such chain.
    ///
    /// # Errors
    ///
    /// The kernel refused.
    pub fn rules(&mut self, table: &TableName, chain: &str) -> Result<Vec<ListedRule>, Error> {
        let filter = Attributes::new().with_text(rule::TABLE, &table.name).with_text(rule::CHAIN, chain);
        let rules = self.list_rules(table, &filter)?;
        Ok(rules.into_iter().map(|(_, listed)| listed).collect())
    }

    /// Carries a batch out as a whole or not at all. With a generation, only if nothing in nftables has changed
    /// since; [`is_outdated`] tells that refusal from others. An empty batch sends nothing.
    ///
    /// # Errors
    ///
    /// The first refusal; nothing was changed then.
    pub fn commit(&mut self, batch: Batch, generation: Option<Generation>) -> Result<(), Error> {
        if batch.is_empty() {
            return Ok(());
        }
        self.socket.transaction(&batch.into_requests(generation))
    }

    fn table_flags(&mut self, name: &TableName) -> Result<Option<u32>, Error> {
        let request = Request::get(
            "get nftables table",
            name.to_string(),
            message::GET_TABLE,
            payload(name.family, &Attributes::new().with_text(table::NAME, &name.name)),
        );
        let answers =
            self.socket.query(&request, |frame| Ok(Some(attributes(frame.payload).u32(table::FLAGS).unwrap_or(0))));
        match answers {
            Ok(answers) => Ok(answers.into_iter().next()),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All chains of a family: table, name, and where packets enter.
    fn chains(&mut self, family: TableFamily) -> Result<Vec<(String, String, Option<BaseChain>)>, Error> {
        const OPERATION: &str = "list nftables chains";
        let request = Request::dump(OPERATION, family.name(), message::GET_CHAIN, payload(family, &Attributes::new()));
        self.socket.query(&request, |frame| {
            let attributes = attributes(frame.payload);
            let table = required(attributes.text(chain::TABLE), OPERATION)?;
            let name = required(attributes.text(chain::NAME), OPERATION)?;
            Ok(Some((table, name, base_chain(attributes))))
        })
    }

    fn list_rules(&mut self, table: &TableName, filter: &Attributes) -> Result<Vec<(String, ListedRule)>, Error> {
        const OPERATION: &str = "list nftables rules";
        let request = Request::dump(OPERATION, table.to_string(), message::GET_RULE, payload(table.family, filter));
        self.socket.query(&request, |frame| {
            let attributes = attributes(frame.payload);
            let chain = required(attributes.text(rule::CHAIN), OPERATION)?;
            let handle = required(attributes.u64(rule::HANDLE), OPERATION)?;
            let rule = Rule::decode(attributes);
            Ok(Some((chain, ListedRule { handle, rule })))
        })
    }

    /// The sets of a table, without their elements.
    fn sets(&mut self, table: &TableName) -> Result<Vec<(String, Set)>, Error> {
        const OPERATION: &str = "list nftables sets";
        let request = Request::dump(
            OPERATION,
            table.to_string(),
            message::GET_SET,
            payload(table.family, &Attributes::new().with_text(set::TABLE, &table.name)),
        );
        self.socket.query(&request, |frame| {
            let attributes = attributes(frame.payload);
            let name = required(attributes.text(set::NAME), OPERATION)?;
            let set = required(empty_set(attributes), OPERATION)?;
            Ok(Some((name, set)))
        })
    }

    fn elements(&mut self, table: &TableName, name: &str, form: &Set) -> Result<Elements, Error> {
        const OPERATION: &str = "list elements of nftables set";
        let request = Request::dump(
            OPERATION,
            table.member(name),
            message::GET_ELEMENT,
            payload(
                table.family,
                &Attributes::new().with_text(set::LIST_TABLE, &table.name).with_text(set::LIST_SET, name),
            ),
        );
        let messages = self.socket.query(&request, |frame| {
            let list = attributes(frame.payload).nested(set::LIST_ELEMENTS);
            list.into_iter()
                .flat_map(|list| list.all(data::LIST_ELEMENT))
                .map(|element| required(ListedElement::decode(Received::new(element)), OPERATION))
                .collect::<Result<Vec<_>, Error>>()
                .map(Some)
        })?;
        let listed = messages.into_iter().flatten();
        Ok(match &form.elements {
            Elements::Keys(_) => Elements::Keys(listed.map(ListedElement::into_key).collect()),
            Elements::Intervals(_) => {
                let length = Field::concatenated_length(&form.key);
                let bounds = listed.map(ListedElement::into_bound);
                Elements::Intervals(Intervals::from_bounds(bounds, greatest(length)))
            }
        })
    }
}

/// One element as the kernel tells it.
struct ListedElement {
    key: Vec<u8>,
    value: Value,
    bound: Bound,
}

impl ListedElement {
    fn decode(element: Received<'_>) -> Option<Self> {
        let is_end = element.u32(set::ELEMENT_FLAGS).unwrap_or(0) & set::ELEMENT_INTERVAL_END != 0;
        Some(Self {
            key: plain_value(element.nested(set::ELEMENT_KEY)?)?,
            value: mapped(element),
            bound: if is_end { Bound::End } else { Bound::Begin },
        })
    }

    fn into_key(self) -> (Key, Value) {
        (Key::from_bytes(&self.key), self.value)
    }

    fn into_bound(self) -> (u128, Bound) {
        let number = self.key.iter().fold(0, |number, byte| (number << 8) | u128::from(*byte));
        (number, self.bound)
    }
}

/// Whether a commit was refused because nftables changed after the generation that it was made for.
#[must_use]
pub fn is_outdated(error: &Error) -> bool {
    error.errno() == Some(nix::errno::Errno::ERESTART)
}

fn attributes(payload: &[u8]) -> Received<'_> {
    Received::new(payload.get(NETFILTER_HEADER_LENGTH..).unwrap_or_default())
}

fn base_chain(attributes: Received<'_>) -> Option<BaseChain> {
    let hook = attributes.nested(chain::HOOK)?;
    Some(BaseChain {
        kind: ChainKind::from_name(&attributes.text(chain::TYPE)?)?,
        hook: Hook::from_number(hook.u32(chain::HOOK_NUMBER)?)?,
        priority: hook.u32(chain::HOOK_PRIORITY)?.cast_signed(),
        policy: Policy::from_number(attributes.u32(chain::POLICY)?)?,
    })
}

fn empty_set(attributes: Received<'_>) -> Option<Set> {
    let flags = attributes.u32(set::FLAGS).unwrap_or(0);
    let length = |kind| attributes.u32(kind).and_then(|length| usize::try_from(length).ok());
    let target = if flags & set::FLAG_MAP == 0 {
        Target::Nothing
    } else {
        match attributes.u32(set::DATA_TYPE)? {
            set::VERDICT_TYPE => Target::Verdict,
            number => Target::Fields(Field::from_type(number, length(set::DATA_LENGTH)?)),
        }
    };
    let elements = if flags & set::FLAG_INTERVAL == 0 {
        Elements::Keys(BTreeMap::new())
    } else {
        Elements::Intervals(Intervals::default())
    };
    Some(Set { key: Field::from_type(attributes.u32(set::KEY_TYPE)?, length(set::KEY_LENGTH)?), target, elements })
}

fn mapped(element: Received<'_>) -> Value {
    let Some(constant) = element.nested(set::ELEMENT_DATA) else {
        return Value::Nothing;
    };
    match (Verdict::decode(constant), plain_value(constant)) {
        (Some(verdict), _) => Value::Verdict(verdict),
        (None, Some(bytes)) => Value::Fields(Key::from_bytes(&bytes)),
        (None, None) => Value::Nothing,
    }
}
