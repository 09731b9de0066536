//! Kernel settings of single devices, with the plugin's errors.

use std::path::Path;

use carrick_pods::device_settings::{SETTINGS, Setting};

use crate::protocol::{Code, Error};

/// Applies a setting to a device, unless it already has the value.
///
/// # Errors
///
/// The file cannot be read or written.
pub(crate) fn apply(setting: Setting, device: &str) -> Result<(), Error> {
    let settings = Path::new(SETTINGS);
    setting.apply(settings, device).map(drop).map_err(|error| {
        let details = format!("{}: {error}", setting.path(settings, device).display());
        Error::new(Code::Kernel, "cannot change a kernel setting", details)
    })
}
