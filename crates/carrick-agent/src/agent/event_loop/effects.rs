//! Carries out the effects of the core. An effect that may take long runs in the background and reports its outcome as an event.

use carrick_core::{DriftKind, Effect, Event, Fault, FaultSource, WriteOutcome};
use carrick_dataplane::WireGuardMaker;
use carrick_kube::publish::{PublishError, publish_annotations};
use carrick_kube::with_causes;
use carrick_status::AgentEventKind;
use carrick_topology::Published;
use carrick_topology::plan::MeshDevices;

use crate::agent::event_loop::EventLoop;
use crate::agent::kernel::Order;
use crate::agent::peer_status::{outcome_of, write_peer_status};
use crate::agent::wireguard;
use crate::userspace_wireguard::uapi::socket_path;

impl EventLoop {
    pub(super) async fn carry_out_effects(&mut self) {
        while let Some(effect) = self.core.next_effect() {
            match effect {
                Effect::Apply { plan, scope, cause } => {
                    let order = Order { plan, keys: self.keys.clone(), scope, cause };
                    if self.orders.send(order).await.is_err() {
                        tracing::error!(event = "kernel_thread_ended");
                    }
                }
                Effect::StartDataPath => self.start_data_path(),
                Effect::RestorePodRoutes => {
                    if let Some(restorer) = &self.pod_routes {
                        restorer.restore_soon();
                    }
                }
                Effect::ReadPresharedKeys(references) => self.preshared_keys.want(references),
                Effect::Probe(probing) => self.probes.follow(probing),
                Effect::ProbeInterval(interval) => self.probes.set_interval(interval),
                Effect::SaveLiveness(liveness) => self.probes.save_liveness(&liveness),
                Effect::WritePodFiles(addressing) => {
                    let (files, finished) = (self.pod_files.clone(), self.finished.0.clone());
                    self.in_background(async move {
                        let result = files.write(addressing).await;
                        let outcome = if result.is_ok() { WriteOutcome::Complete } else { WriteOutcome::Failed };
                        let faults = result.err().map(Fault::PodFilesNotWritten).into_iter().collect();
                        // Without a receiver, the agent is about to end.
                        let _ = finished.send(Event::Faults(FaultSource::PodFiles, faults)).await;
                        Event::PodFilesWritten(outcome)
                    });
                }
                Effect::ResolveNames(names) => self.names.want(names),
                Effect::RefreshNames(names) => names.iter().for_each(|name| self.names.refresh(name)),
                Effect::Publish(published) => self.publish(*published),
                Effect::WritePeerStatus { peer, connection } => {
                    let (client, node) = (self.client.clone(), self.me.clone());
                    self.in_background(async move {
                        let outcome = write_peer_status(&client, &peer, node, connection).await;
                        Event::PeerStatusWritten(peer, outcome)
                    });
                }
                Effect::Persist(cluster) => {
                    if let Some(uid) = &self.uid {
                        self.saver.save(uid.clone(), &cluster);
                    }
                }
                Effect::TellFaults(faults) => {
                    let devices = MeshDevices::with_wireguard(self.options.interface.clone());
                    for text in self.reporter.update_faults(faults, &devices, self.core.cluster(), &self.me) {
                        self.status.add_event(AgentEventKind::Failure, text);
                    }
                }
                Effect::Warn(warnings) => {
                    self.status.metrics().warned(warnings.iter().map(|warning| warning.reason.kind()));
                    for text in self.reporter.update(warnings, self.core.cluster(), &self.me) {
                        self.status.add_event(AgentEventKind::Warning, text);
                    }
                }
            }
        }
    }

    /// Starts a data path again that was there, unless WireGuard is the kernel's.
    fn start_data_path(&self) {
        let (interface, run_directory) = (self.options.interface.clone(), self.options.run_dir.clone());
        let is_userspace =
            self.wireguard_maker == WireGuardMaker::Process && socket_path(&self.options.interface).exists();
        let finished = self.finished.0.clone();
        self.in_background(async move {
            if !is_userspace {
                return Event::DataPathStarted(WriteOutcome::Complete);
            }
            Event::DataPathStarted(match wireguard::ensure_userspace(&interface, &run_directory).await {
                Ok(is_started) => {
                    if is_started {
                        // The data path answers from now on, and no notification says so. Without a receiver, the agent is about to end.
                        let _ = finished.send(Event::Drift(DriftKind::Device)).await;
                    }
                    WriteOutcome::Complete
                }
                Err(error) => {
                    tracing::warn!(event = "userspace_wireguard_not_started", %error);
                    WriteOutcome::Failed
                }
            })
        });
    }

    fn publish(&self, published: Published) {
        let (client, own_node, finished) = (self.client.clone(), self.own_node.clone(), self.finished.0.clone());
        self.in_background(async move {
            let Some(own_node) = own_node else { return Event::Published(WriteOutcome::Failed) };
            let (outcome, refusal) = match publish_annotations(&client, &own_node, &published).await {
                Ok(()) => (WriteOutcome::Complete, None),
                Err(error) => {
                    let text = with_causes(&error);
                    tracing::warn!(event = "publish_failed", error = text);
                    let refusal = matches!(error, PublishError::Refused(_)).then_some(Fault::WriteRefused(text));
                    (outcome_of(&error), refusal)
                }
            };
            // A request without an answer says nothing of the refusal before it.
            if outcome != WriteOutcome::Failed {
                let faults = refusal.into_iter().collect();
                // Without a receiver, the agent is about to end.
                let _ = finished.send(Event::Faults(FaultSource::Publication, faults)).await;
            }
            Event::Published(outcome)
        });
    }

    fn in_background(&self, task: impl Future<Output = Event> + Send + 'static) {
        let finished = self.finished.0.clone();
        tokio::spawn(async move {
            // Without a receiver, the agent is about to end.
            let _ = finished.send(task.await).await;
        });
    }
}
