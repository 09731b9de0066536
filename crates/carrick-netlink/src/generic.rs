//! Generic netlink: families have names, and numbers only for as long as the kernel runs.

use netlink_packet_core::{DecodeError, NlasIterator};
use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};

use crate::attribute::array;
use crate::request::encode;
use crate::{Cause, Error, Request, Socket};

/// `GENL_ID_CTRL`: the family that knows the others.
const CONTROLLER: u16 = 16;
/// `CTRL_ATTR_FAMILY_ID`.
const FAMILY_ID: u16 = 1;

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
    for attribute in NlasIterator::new(payload.get(HEADER_LENGTH..).unwrap_or_default()) {
        let attribute = attribute?;
        if attribute.kind() == FAMILY_ID {
            return array(attribute.value()).map(|number| Some(u16::from_ne_bytes(number)));
        }
    }
    Ok(None)
}

/// The header behind netlink's own: command, version, two reserved bytes.
pub(crate) const HEADER_LENGTH: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_is_read_whatever_else_the_controller_says() {
        let number = [6, 0, 1, 0, 30, 0, 0, 0];
        // A policy (`CTRL_ATTR_POLICY`) whose own attributes are cut off.
        let policy = [8, 0, 8, 0, 1, 0, 0, 0];
        for payload in [[&[1, 2, 0, 0][..], &number, &policy].concat(), [&[1, 2, 0, 0][..], &policy, &number].concat()]
        {
            assert_eq!(read_number(&payload).unwrap(), Some(30));
        }
        assert_eq!(read_number(&[1, 2, 0, 0]).unwrap(), None);
        assert!(read_number(&[1, 2, 0, 0, 5, 0, 1, 0, 30]).is_err());
    }
}
