//! Which source of a shared setting wins: the object `Mesh`, else the flag of the agent, else the default.

use std::collections::BTreeSet;

use crate::model::{Mesh, NodeName, ObjectName, Settings, SharedSettings, Warning, WarningReason};

impl SharedSettings {
    /// A warning for each flag that has another value than the Mesh of the cluster, which wins.
    pub(crate) fn overridden_by(&self, mesh: &Self, me: &NodeName) -> BTreeSet<Warning> {
        let pairs = self.by_flag().into_iter().zip(mesh.by_flag());
        let overridden = pairs.filter_map(|((flag, own), (_, wins))| {
            let (own, wins) = own.zip(wins).filter(|(own, wins)| own != wins)?;
            let object = ObjectName::Node(me.clone());
            Some(Warning::new(object, flag, own, WarningReason::OverriddenByMesh(wins)))
        });
        overridden.collect()
    }
}

impl Settings {
    /// These settings with what the flags of the agent give.
    #[must_use]
    pub fn with_flags(mut self, flags: SharedSettings) -> Self {
        self.take(&flags);
        self.flags = flags;
        self
    }

    /// The settings in force with this object, or without one: its values, else those of the flags, else the defaults.
    #[must_use]
    pub fn with_mesh(mut self, mesh: Option<&Mesh>) -> Self {
        let defaults = Self::default();
        self.take(&defaults.shared());
        self.take(&self.flags.clone());
        if let Some(mesh) = mesh {
            self.take(&mesh.shared);
        }
        let permitted = mesh.and_then(|mesh| mesh.permitted_location_cidrs.clone());
        self.permitted_location_cidrs = permitted.unwrap_or(defaults.permitted_location_cidrs);
        self.cluster_cidrs = mesh.and_then(|mesh| mesh.cluster_cidrs.clone()).unwrap_or_default();
        self.internal_address_bounds = mesh.and_then(|mesh| mesh.internal_cidrs.clone());
        self
    }

    /// The settings that all nodes share, all of them given.
    #[must_use]
    pub fn shared(&self) -> SharedSettings {
        SharedSettings {
            granularity: Some(self.granularity),
            encapsulation: Some(self.encapsulation),
            active_gateways: Some(self.active_gateways),
            standby_gateways: Some(self.standby_gateways),
            mesh_cidrs: Some(self.mesh_cidrs.clone()),
            service_cidrs: Some(self.service_cidrs.clone()),
            topology_label: Some(self.topology_label.clone()),
            failover_interval_ms: Some(self.failover_interval_ms),
            allowed_location_masquerade: Some(self.allowed_location_masquerade),
        }
    }

    /// The hash that an agent publishes, see [`Settings::shared_hash`]: of the settings that the Mesh does not give. Those that it gives
    /// are the same on all nodes, though not at the same moment.
    #[must_use]
    pub fn published_hash(&self, mesh: Option<&Mesh>) -> String {
        let Some(mesh) = mesh else { return self.shared_hash() };
        let (given, defaults) = (&mesh.shared, Self::default());
        let mut own = self.clone();
        own.take(&SharedSettings {
            granularity: given.granularity.map(|_| defaults.granularity),
            encapsulation: given.encapsulation.map(|_| defaults.encapsulation),
            active_gateways: given.active_gateways.map(|_| defaults.active_gateways),
            standby_gateways: given.standby_gateways.map(|_| defaults.standby_gateways),
            mesh_cidrs: given.mesh_cidrs.as_ref().map(|_| defaults.mesh_cidrs),
            topology_label: given.topology_label.as_ref().map(|_| defaults.topology_label),
            ..SharedSettings::default()
        });
        own.shared_hash()
    }

    /// Takes the values that are given.
    fn take(&mut self, given: &SharedSettings) {
        fn replace<T: Clone>(value: &mut T, given: Option<&T>) {
            if let Some(given) = given {
                value.clone_from(given);
            }
        }
        replace(&mut self.granularity, given.granularity.as_ref());
        replace(&mut self.encapsulation, given.encapsulation.as_ref());
        replace(&mut self.active_gateways, given.active_gateways.as_ref());
        replace(&mut self.standby_gateways, given.standby_gateways.as_ref());
        replace(&mut self.mesh_cidrs, given.mesh_cidrs.as_ref());
        replace(&mut self.service_cidrs, given.service_cidrs.as_ref());
        replace(&mut self.topology_label, given.topology_label.as_ref());
        replace(&mut self.failover_interval_ms, given.failover_interval_ms.as_ref());
        replace(&mut self.allowed_location_masquerade, given.allowed_location_masquerade.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use ipnet::IpNet;

    use super::*;
    use crate::model::{AllowedLocationMasquerade, Encapsulation, Granularity};

    /// Another value than the default for each setting.
    fn other() -> SharedSettings {
        SharedSettings {
            granularity: Some(Granularity::Full),
            encapsulation: Some(Encapsulation::Never),
            active_gateways: NonZeroUsize::new(3),
            standby_gateways: Some(2),
            mesh_cidrs: Some(["10.9.0.0/16".parse().unwrap()].into()),
            service_cidrs: Some(["10.96.0.0/12".parse().unwrap()].into()),
            topology_label: Some("zone".to_owned()),
            failover_interval_ms: Some(1000),
            allowed_location_masquerade: Some(AllowedLocationMasquerade::Off),
        }
    }

    fn mesh(shared: SharedSettings) -> Mesh {
        Mesh { shared, ..Mesh::default() }
    }

    #[test]
    fn the_mesh_wins_over_flags_and_flags_over_defaults() {
        let flags = SharedSettings { granularity: Some(Granularity::Cross), standby_gateways: Some(7), ..other() };
        let by_flags = Settings::default().with_flags(flags.clone());
        assert_eq!(by_flags.shared(), flags);
        assert!(other().by_flag().into_iter().zip(Settings::default().shared().by_flag()).all(|(a, b)| a != b));
        assert_eq!(by_flags.clone().with_mesh(Some(&mesh(other()))).shared(), other());
        let some = SharedSettings { standby_gateways: Some(4), ..SharedSettings::default() };
        let mixed = by_flags.clone().with_mesh(Some(&mesh(some)));
        assert_eq!(mixed.shared(), SharedSettings { standby_gateways: Some(4), ..flags });
        assert_eq!(mixed.with_mesh(None), by_flags, "without the object, the flags hold again");
    }

    #[test]
    fn networks_of_the_mesh_replace_the_defaults_and_other_settings_stay() {
        let settings = Settings { port: 7, ..Settings::default() };
        assert_eq!(settings.clone().with_mesh(Some(&Mesh::default())), settings);
        let cidrs: BTreeSet<IpNet> = ["10.244.0.0/16".parse().unwrap()].into();
        let networks = Mesh {
            cluster_cidrs: Some(cidrs.clone()),
            permitted_location_cidrs: Some(BTreeSet::new()),
            internal_cidrs: Some(cidrs.clone()),
            ..Mesh::default()
        };
        let expected = Settings {
            cluster_cidrs: cidrs.clone(),
            permitted_location_cidrs: BTreeSet::new(),
            internal_address_bounds: Some(cidrs),
            ..settings.clone()
        };
        assert_eq!(settings.clone().with_mesh(Some(&networks)), expected);
        assert_eq!(expected.with_mesh(None), settings);
    }

    #[test]
    fn each_flag_with_another_value_than_the_mesh_is_reported() {
        let me: NodeName = "a".parse().unwrap();
        let flags = Settings::default().shared();
        let warnings = flags.overridden_by(&other(), &me);
        assert_eq!(warnings.len(), 9, "{warnings:#?}");
        let text = warnings.iter().find(|warning| warning.field == "--granularity").unwrap().to_string();
        assert!(text.contains("node `a`: --granularity `location` is overridden") && text.contains("`full`"), "{text}");
        assert!(flags.overridden_by(&flags, &me).is_empty(), "the same value is no conflict");
        assert!(SharedSettings::default().overridden_by(&other(), &me).is_empty(), "a flag that is not set");
        assert!(other().overridden_by(&SharedSettings::default(), &me).is_empty(), "a setting that the Mesh leaves");
    }

    #[test]
    fn the_published_hash_does_not_depend_on_what_the_mesh_gives() {
        let flags = |granularity| {
            let flags = SharedSettings { granularity: Some(granularity), ..SharedSettings::default() };
            Settings::default().with_flags(flags)
        };
        let hash = |settings: Settings, mesh: Option<&Mesh>| settings.with_mesh(mesh).published_hash(mesh);
        let (one, another) = (flags(Granularity::Cross), flags(Granularity::Full));
        assert_ne!(hash(one.clone(), None), hash(another.clone(), None));
        let decided = mesh(other());
        assert_eq!(hash(one.clone(), Some(&decided)), hash(another.clone(), Some(&decided)));
        let other_setting = mesh(SharedSettings { standby_gateways: Some(5), ..SharedSettings::default() });
        assert_ne!(hash(one, Some(&other_setting)), hash(another, Some(&other_setting)));
    }
}
