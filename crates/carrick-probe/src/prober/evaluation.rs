//! What the state machine concludes from what it has heard, and tells the outside.

use carrick_topology::handover::HandoverReport;
use carrick_topology::plan::{PathKind, ProbeTarget};
use carrick_topology::{Liveness, NodeName};

use super::Prober;
use crate::Now;
use crate::failure_detector::{Observer, Report};
use crate::handover::HandoverFlags;
use crate::output::ProberEvent;
use crate::path_use::PathUse;

impl Prober {
    pub(super) fn evaluate(&mut self, now: Now) {
        let heard_peers = self.heard_peers(now);
        self.evaluated_with = heard_peers;
        let position = self.position.as_ref();
        let gateway_of = position.filter(|position| position.is_gateway).map(|position| &position.location);
        let reports: Vec<Report<'_>> = self.targets.iter().map(|(node, target)| target.report(node)).collect();
        let awaiting_answer = reports.iter().filter(|report| report.awaits_answer());
        self.awaiting_answer = awaiting_answer.map(|report| report.location.clone()).collect();
        let said =
            |name: &NodeName| self.targets.get(name).map_or(HandoverFlags::NONE, |target| target.handover().said());
        self.handovers.set_schedule(said, self.pacing.interval_of(PathKind::Inside));
        let observer = Observer {
            gateway_of,
            heard_peers,
            draining_since: self.duty.draining_since(),
            well_since: self.heard_since.well(),
            hears_tunnels_since: self.heard_since.tunnels(),
            far_delay: self.handovers.far_delay(),
        };
        self.failure_detector.evaluate(now, observer, &reports);
        self.detours.evaluate(now, self.heard_since.well(), &self.targets);
        self.handovers.evaluate(now, self.failure_detector.moves());
        for (name, target) in self.targets.iter_mut() {
            target.update_handover(now, self.handovers.flags_for(name), self.handovers.leads_to(name));
            let ProbeTarget { location, kind, .. } = target.planned();
            let path_use = match kind {
                PathKind::Tunnel if self.detours.lead_around(location) => PathUse::Unsaid,
                PathKind::Tunnel | PathKind::Inside => self.failure_detector.path_use(*kind, location, name),
            };
            target.set_path_use(now, path_use);
        }
        let liveness = Liveness {
            down: self.failure_detector.down(),
            bypassed: self.failure_detector.bypassed(),
            drained: self.failure_detector.drained(),
            detours: self.detours.in_use(),
            handover: self.handover_report(),
        };
        if liveness != self.reported_liveness {
            self.reported_liveness.clone_from(&liveness);
            self.events.push_back(ProberEvent::Liveness(liveness));
        }
    }

    fn handover_report(&self) -> HandoverReport {
        HandoverReport {
            returning: self.handovers.returning().clone(),
            draining: self.handovers.draining().clone(),
            decapsulating: self.targets.decapsulating(),
        }
    }

    pub(super) fn report_mtus(&mut self) {
        let mtus = self.targets.narrow_mtus();
        if mtus != self.reported_mtus {
            self.reported_mtus.clone_from(&mtus);
            self.events.push_back(ProberEvent::PathMtus(mtus));
        }
    }
}
