//! Who we are, and which private network we are in: the files behind `--key` and `--psk`.

use crate::output::note;
use std::fs::{self, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use tidewire_core::{KeyError, Keypair, Seed};
use tidewire_upgrade::security::psk::{KeyFileError, PreSharedKey};
use zeroize::Zeroizing;

/// Why a key can't be had.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    #[error("--key {}: {error}", path.display())]
    Read { path: PathBuf, error: std::io::Error },
    #[error("--key {}: can't be made: {error}", path.display())]
    Write { path: PathBuf, error: std::io::Error },
    #[error("--key {}: the folder {} does not exist", path.display(), folder.display())]
    NoFolder { path: PathBuf, folder: PathBuf },
    #[error("--key {}: {}", path.display(), hint(error))]
    Key { path: PathBuf, error: KeyError },
    #[error("--psk {}: {error}", path.display())]
    ReadPsk { path: PathBuf, error: std::io::Error },
    #[error("--psk {}: {error}", path.display())]
    Psk { path: PathBuf, error: KeyFileError },
    #[error("the operating system gives no entropy: {0}")]
    NoEntropy(getrandom::Error),
}

/// 32 bytes from the operating system.
pub(crate) fn entropy() -> Result<Seed, KeysError> {
    let mut bytes = Zeroizing::new([0; 32]);
    getrandom::fill(&mut *bytes).map_err(KeysError::NoEntropy)?;
    Ok(Seed::new(*bytes))
}

/// From the file, from the number, or a new one.
pub(crate) fn identity(file: Option<&Path>, number: Option<u64>) -> Result<Keypair, KeysError> {
    match (file, number) {
        (Some(path), _) => from_file(path),
        (None, Some(number)) => Ok(numbered(number)),
        (None, None) => Ok(Keypair::from_seed(&entropy()?)),
    }
}

/// The identity that belongs to a number: no secret at all.
pub(crate) fn numbered(number: u64) -> Keypair {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    Keypair::from_seed(&Seed::new(bytes))
}

/// The key of a private network.
pub(crate) fn psk(path: &Path) -> Result<PreSharedKey, KeysError> {
    let (bytes, _) =
        read(path, PreSharedKey::MAX_FILE_LEN).map_err(|error| KeysError::ReadPsk { path: path.to_owned(), error })?;
    PreSharedKey::from_file(&bytes).map_err(|error| KeysError::Psk { path: path.to_owned(), error })
}

fn from_file(path: &Path) -> Result<Keypair, KeysError> {
    match read(path, Keypair::MAX_PROTOBUF_LEN) {
        Ok((bytes, readable_by_others)) => {
            let keypair =
                Keypair::from_protobuf(&bytes).map_err(|error| KeysError::Key { path: path.to_owned(), error })?;
            if readable_by_others {
                note(&format!("warning: {} can be read by others; chmod 600 it", path.display()));
            }
            Ok(keypair)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => make(path),
        Err(error) => Err(KeysError::Read { path: path.to_owned(), error }),
    }
}

/// The file's bytes, one more than `max` at most so that a longer file is refused for its length; and whether others may
/// read it.
fn read(path: &Path, max: usize) -> std::io::Result<(Zeroizing<Vec<u8>>, bool)> {
    let file = File::open(path)?;
    let others = readable_by_others(&file.metadata()?);
    let mut bytes = Zeroizing::new(Vec::with_capacity(max + 1));
    file.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok((bytes, others))
}

/// Makes a key file that is complete as soon as it has its name, and never replaces one.
fn make(path: &Path) -> Result<Keypair, KeysError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(KeysError::NoFolder { path: path.to_owned(), folder: folder.to_owned() });
    }
    let keypair = Keypair::from_seed(&entropy()?);
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.new", std::process::id()));
    let unfinished = folder.join(name);
    let written = write_new(&unfinished, &keypair.to_protobuf()).and_then(|()| fs::hard_link(&unfinished, path));
    let _ = fs::remove_file(&unfinished);
    match written {
        Ok(()) => Ok(keypair),
        // Another process was faster: its key counts.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && path.exists() => from_file(path),
        Err(error) => Err(KeysError::Write { path: path.to_owned(), error }),
    }
}

fn write_new(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(unix)]
fn readable_by_others(metadata: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    metadata.is_file() && metadata.mode() & 0o077 != 0
}

#[cfg(not(unix))]
fn readable_by_others(_: &fs::Metadata) -> bool {
    false
}

fn hint(error: &KeyError) -> String {
    format!("{error}; expected an Ed25519 key in libp2p's protobuf")
}
