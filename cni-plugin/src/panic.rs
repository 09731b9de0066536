//! A panic of the plugin, as an error for the runtime.

use std::io::{self, Write};
use std::panic::{self, PanicHookInfo};
use std::process;

use crate::protocol::{Code, Error, Version};

/// Makes a panic end the process with exit code 1 and a CNI error on standard output (CNI specification 1.1.0, section 5, "Error"). Without
/// the hook, a runtime would only see a signal. The program is built with `panic = "abort"`, so nothing is unwound and nothing is rolled
/// back: the next DEL or GC removes what the call left.
pub fn answer_panics() {
    panic::set_hook(Box::new(|info| {
        let _ = writeln!(io::stdout().lock(), "{}", error(info).to_json(Version::NEWEST));
        process::exit(1);
    }));
}

fn error(info: &PanicHookInfo<'_>) -> Error {
    let place = info.location().map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    let reason = info.payload_as_str().unwrap_or("no message");
    Error::new(Code::Panicked, "the plugin panicked, which is a bug of the plugin", format!("{place}: {reason}"))
}
