//! The log of calls, from which the agent makes metrics. The plugin runs for milliseconds and cannot be scraped.
//!
//! The log is the file `calls` in the run directory, with one line for each call: command, error code (0 for success), duration in
//! microseconds. The plugin appends each line in one write, so lines of several processes do not mix.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

const FILE_NAME: &str = "calls";
const FULL_NAME: &str = "calls.full";

/// The agent starts a new file when the current one has this many bytes.
const FULL_BYTES: u64 = 1 << 20;

/// The outcome of one call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// ADD, DEL, CHECK, GC or STATUS.
    pub command: String,
    /// The error code; 0 for success.
    pub code: u32,
    /// How long the call took.
    pub took: Duration,
}

impl CallRecord {
    /// Appends the record to the log in an existing run directory.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or written.
    pub fn append(&self, run_directory: &Path) -> io::Result<()> {
        let line = format!("{} {} {}\n", self.command, self.code, self.took.as_micros());
        let path = run_directory.join(FILE_NAME);
        OpenOptions::new().append(true).create(true).mode(0o644).open(path)?.write_all(line.as_bytes())
    }

    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let (command, code, took) = (words.next()?, words.next()?, words.next()?);
        let took = Duration::from_micros(took.parse().ok()?);
        Some(Self { command: command.to_owned(), code: code.parse().ok()?, took })
    }
}

/// The agent's position in the log.
#[derive(Debug)]
pub struct CallLog {
    run_directory: PathBuf,
    position: Position,
    /// The position in a full file. A plugin process may still have it open, so it is read once more before it is removed.
    full: Option<Position>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Position {
    inode: u64,
    bytes: u64,
}

impl CallLog {
    /// Starts at the end of the log: calls from before are not returned.
    #[must_use]
    pub fn follow(run_directory: &Path) -> Self {
        let present = std::fs::metadata(run_directory.join(FILE_NAME));
        let position = present.map(|file| Position { inode: file.ino(), bytes: file.len() }).unwrap_or_default();
        Self { run_directory: run_directory.to_path_buf(), position, full: None }
    }

    /// The calls since the last time, each once. Lines that are not records are ignored.
    ///
    /// # Errors
    ///
    /// The file exists and cannot be read.
    pub fn take_new(&mut self) -> io::Result<Vec<CallRecord>> {
        let mut records = Vec::new();
        if let Some(mut position) = self.full.take() {
            let path = self.run_directory.join(FULL_NAME);
            read_from(&path, &mut position, &mut records)?;
            std::fs::remove_file(path)?;
        }
        let path = self.run_directory.join(FILE_NAME);
        read_from(&path, &mut self.position, &mut records)?;
        if self.position.bytes >= FULL_BYTES {
            std::fs::rename(&path, self.run_directory.join(FULL_NAME))?;
            self.full = Some(std::mem::take(&mut self.position));
        }
        Ok(records)
    }
}

/// Reads complete lines from `position` on, and moves `position` to the end of the last one.
fn read_from(path: &Path, position: &mut Position, records: &mut Vec<CallRecord>) -> io::Result<()> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let metadata = file.metadata()?;
    if metadata.ino() != position.inode || metadata.len() < position.bytes {
        *position = Position { inode: metadata.ino(), bytes: 0 };
    }
    io::Seek::seek(&mut file, io::SeekFrom::Start(position.bytes))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let whole = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    position.bytes += whole as u64;
    let text = String::from_utf8_lossy(&bytes[..whole]);
    records.extend(text.lines().filter_map(CallRecord::parse));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(command: &str, code: u32, us: u64) -> CallRecord {
        CallRecord { command: command.to_owned(), code, took: Duration::from_micros(us) }
    }

    #[test]
    fn each_call_is_returned_once() {
        let folder = tempfile::tempdir().unwrap();
        record("ADD", 0, 1).append(folder.path()).unwrap();
        let mut log = CallLog::follow(folder.path());
        assert_eq!(log.take_new().unwrap(), [], "calls from before are not returned");
        record("ADD", 0, 1500).append(folder.path()).unwrap();
        record("DEL", 105, 20).append(folder.path()).unwrap();
        assert_eq!(log.take_new().unwrap(), [record("ADD", 0, 1500), record("DEL", 105, 20)]);
        assert_eq!(log.take_new().unwrap(), []);
    }

    #[test]
    fn an_incomplete_line_is_returned_later_and_an_invalid_line_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = CallLog::follow(folder.path());
        let path = folder.path().join(FILE_NAME);
        std::fs::write(&path, "invalid\nADD 0 7").unwrap();
        assert_eq!(log.take_new().unwrap(), []);
        OpenOptions::new().append(true).open(&path).unwrap().write_all(b"8\n").unwrap();
        assert_eq!(log.take_new().unwrap(), [record("ADD", 0, 78)]);
    }

    #[test]
    fn a_full_file_is_replaced_and_late_records_are_returned() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = CallLog::follow(folder.path());
        let path = folder.path().join(FILE_NAME);
        let lines = usize::try_from(FULL_BYTES).unwrap() / "ADD 0 1\n".len();
        std::fs::write(&path, "ADD 0 1\n".repeat(lines)).unwrap();
        let mut late = OpenOptions::new().append(true).open(&path).unwrap();
        assert_eq!(log.take_new().unwrap().len(), lines);
        late.write_all(b"DEL 0 2\n").unwrap();
        record("ADD", 0, 3).append(folder.path()).unwrap();
        assert_eq!(log.take_new().unwrap(), [record("DEL", 0, 2), record("ADD", 0, 3)]);
        assert!(!folder.path().join(FULL_NAME).exists());
    }
}
