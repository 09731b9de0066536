//! Generic netlink: families have names, and numbers only for as long as the kernel runs.

use netlink_packet_core::{DecodeError, ParseableParametrized};
use netlink_packet_generic::GenlHeader;
use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};

use crate::request::encode;
use crate::{Cause, Error, Request, Socket};

/// `GENL_ID_CTRL`: the family that knows the others.
const CONTROLLER: u16 = 16;

/// The number of the family called `name`. Asking makes the kernel load the module that has it.
///
/// # Errors
///
/// The kernel has no such family ([`Error::is_not_found`]), or see [`Socket::query`].
pub fn family(socket: &mut Socket, name: &str) -> Result<u16, Error> {
    const OPERATION: &str = "find generic netlink family";
    let question = GenlCtrl { cmd: GenlCtrlCmd::GetFamily, nlas: vec![GenlCtrlAttrs::FamilyName(name.to_owned())] };
    let request = Request::get(OPERATION, name, CONTROLLER, encode(&GenlMessage::from_payload(question)));
    let numbers = socket
        .query(&request, |frame| read_number(frame.payload).map_err(|cause| Error::new(OPERATION, name, cause)))?;
    numbers.into_iter().next().ok_or_else(|| Error::new(OPERATION, name, Cause::Missing))
}

/// The number in the controller's answer.
pub(crate) fn read_number(payload: &[u8]) -> Result<Option<u16>, DecodeError> {
    let header = GenlHeader::parse(payload)?;
    let message = GenlCtrl::parse_with_param(&payload[HEADER_LENGTH..], header)?;
    Ok(message.nlas.into_iter().find_map(|attribute| match attribute {
        GenlCtrlAttrs::FamilyId(number) => Some(number),
        _ => None,
    }))
}

/// The header behind netlink's own: command, version, two reserved bytes.
pub(crate) const HEADER_LENGTH: usize = 4;
