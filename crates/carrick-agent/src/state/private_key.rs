//! The file with a node's private key.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use carrick_types::SecretKey;
use zeroize::Zeroizing;

use super::error::{FILE, StateError};
use crate::file_error::failed;
use crate::key;

/// Reads the key, or makes one if there is no file.
pub fn load_or_generate(path: &Path) -> Result<SecretKey, StateError> {
    match fs::read_to_string(path) {
        Ok(text) => {
            let text = Zeroizing::new(text);
            let key = SecretKey::from_base64(text.trim_end())
                .map_err(|_| StateError::CorruptKey { path: path.to_owned() })?;
            close_to_others(path)?;
            Ok(key)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => generate(path),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(StateError::CorruptKey { path: path.to_owned() })
        }
        Err(error) => Err(failed("read", path)(error).into()),
    }
}

fn generate(path: &Path) -> Result<SecretKey, StateError> {
    let private_key = key::generate();
    let mut text = private_key.to_base64();
    text.push('\n');
    FILE.write(path, text.as_bytes()).map_err(failed("write", path))?;
    tracing::info!(event = "private_key_generated", path = %path.display(), public_key = %key::public_key(&private_key));
    Ok(private_key)
}

fn close_to_others(path: &Path) -> Result<(), StateError> {
    let mode = fs::metadata(path).map_err(failed("look at", path))?.permissions().mode();
    if mode & 0o077 != 0 {
        tracing::warn!(event = "private_key_mode_corrected", path = %path.display(), mode = format!("{:o}", mode & 0o777));
        fs::set_permissions(path, fs::Permissions::from_mode(FILE.mode)).map_err(failed("restrict", path))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_corrupt_key_is_named_and_never_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("private-key");
        for content in [&b""[..], b"\n", b"garbage\n", b"\xff\xfe", &[0; 32]] {
            fs::write(&path, content).unwrap();
            let error = load_or_generate(&path).unwrap_err();
            assert!(matches!(error, StateError::CorruptKey { .. }), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()));
            assert!(!error.to_string().contains("garbage"));
            assert_eq!(fs::read(&path).unwrap(), content);
        }
    }

    #[test]
    fn what_wg_genkey_printed_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("private-key");
        fs::write(&path, "dwdtCnMYpX08FsFyUbJmRd9ML4frwJkqsXf7pR25LCo=\n").unwrap();
        let key = load_or_generate(&path).unwrap();
        assert_eq!(key::public_key(&key).to_string(), "hSDwCYkwp1R0i33ctD73Wg2/Og0mOBr066SpjqqbTmo=");
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, FILE.mode, "it is closed to others");
    }
}
