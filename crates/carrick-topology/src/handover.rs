//! The handover: how the traffic of one gateway moves to another one and no packet is lost.
//!
//! # Why a handover is needed
//!
//! A WireGuard device accepts a source address from one peer only. When traffic of a location moves from its *old carrier* to its *new
//! carrier*, each gateway of another location (a *far gateway*) must move the source addresses from the one peer to the other. Nodes do
//! not do that at the same instant. Until a far gateway has moved the addresses, it drops what the new carrier forwards; after that, it
//! drops what still comes through the old carrier.
//!
//! So the new carrier encapsulates what it forwards while addresses move: VXLAN inside the tunnel, between the mesh addresses of the two
//! gateways. These addresses never move, and the far gateway accepts the encapsulated packet before and after it has moved the others.
//!
//! A gateway that returns is the new carrier. A gateway that drains is the old carrier.
//!
//! # What is moved, from whom, to whom, and when
//!
//! | question | answer | where |
//! |---|---|---|
//! | What is moved? | The segments of all nodes, and the outside peers, whose carrier changes. | planner |
//! | From whom? | From the carrier in the assignment before the change. | planner |
//! | To whom? | To the carrier in the assignment after it. | planner |
//! | When? | At a moment that all nodes know without a word from each other, and at far gateways a second later. | prober |
//!
//! | step | location of the new carrier | far gateways |
//! |---|---|---|
//! | a little before the moment | | accept encapsulated packets from the new carrier, and ask it to encapsulate |
//! | | the new carrier tries an encapsulated probe of full size; once it passes, it encapsulates and says so | |
//! | the moment | all nodes send by the new carrier; the old one keeps its tunnels | still accept plain packets from the old carrier |
//! | a second later | | move the source addresses to the new carrier |
//! | another second later | the new carrier sends plain packets | stop to ask |
//! | some seconds later | the old carrier removes its tunnels | stop to accept encapsulated packets |
//!
//! A far gateway to which the new carrier does not encapsulate moves the addresses at the moment itself, and loses what is under way.
//!
//! # The interface
//!
//! Three parties take part. Each knows the types of this module and nothing else of the other two:
//!
//! ```text
//! prober ──HandoverReport──▶ planner ──HandoverPlan, HandoverFilter──▶ kernel thread ──HandoverInForce──▶ prober
//! ```
//!
//! - The **prober** (`carrick-probe`) knows when. It exchanges with other gateways who encapsulates and who decapsulates, and reports it.
//! - The **planner** ([`crate::plan()`]) knows what, from whom and to whom. It is a pure function, so that all nodes agree.
//! - The **kernel thread** makes the kernel hold the plan, and tells the prober what is in force, because a gateway may only announce what
//!   its kernel does.

mod in_force;
mod plan;
mod report;

pub use in_force::HandoverInForce;
pub use plan::{HandoverFilter, HandoverPlan, HandoverReceiver, HandoverRoute, HandoverSender};
pub use report::{Decapsulation, HandoverReport};
