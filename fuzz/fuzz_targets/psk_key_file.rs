//! The key file of a private network from any bytes: no panic; a key that was read is written and read again; an error
//! never shows what may be the key. The bytes are read as a file, and as what follows each good beginning.
#![no_main]

use libfuzzer_sys::fuzz_target;
use tidewire_upgrade::security::psk::{Encoding, PreSharedKey};

fuzz_target!(|data: &[u8]| {
    check(data);
    for name in ["base16", "base64", "bin"] {
        check(&[format!("/key/swarm/psk/1.0.0/\n/{name}/\n").as_bytes(), data].concat());
    }
});

fn check(file: &[u8]) {
    match PreSharedKey::from_file(file) {
        Ok(key) => {
            for encoding in [Encoding::Base16, Encoding::Base64, Encoding::Bin] {
                assert_eq!(PreSharedKey::from_file(&key.to_file(encoding)).as_ref(), Ok(&key));
            }
        }
        Err(error) => {
            let text = error.to_string();
            let secret = |line: &&str| line.len() >= 24 && line.bytes().all(|byte| byte.is_ascii_alphanumeric());
            for line in String::from_utf8_lossy(file).lines().map(str::trim).filter(secret) {
                assert!(!text.contains(line), "{text}");
            }
        }
    }
}
