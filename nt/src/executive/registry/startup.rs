//! What the registry holds when a machine starts: the hives and who fills them.

use super::hive::{Hive, KeyId, KeyKind, Lifetime, NewKey};
use super::resolve::{LINK_VALUE, LastLink, REG_LINK, Target};
use super::{machine, user};
use crate::executive::sid::Sid;
use crate::host::Moment;
use vadose_facts::ntdef::Edition;

/// When Windows was installed: 2020-01-01.
pub(super) const INSTALLED: Moment = Moment::new(132_223_104_000_000_000);

/// `REG_SZ`, `REG_EXPAND_SZ`, `REG_BINARY`, `REG_DWORD`, `REG_MULTI_SZ`.
const SZ: u32 = 1;
const EXPAND_SZ: u32 = 2;
const BINARY: u32 = 3;
const DWORD: u32 = 4;
const MULTI_SZ: u32 = 7;

/// The hives that are mounted in the machine's and in the users' half.
const MACHINE_HIVES: [&str; 5] = ["HARDWARE", "SAM", "SECURITY", "SOFTWARE", "SYSTEM"];
const USER_HIVES: [&str; 2] = [".DEFAULT", "S-1-5-18"];

/// Fills the tree of a machine.
pub(super) fn hive(edition: &Edition, seed: u64) -> Hive {
    let mut hive = Hive::new("REGISTRY", INSTALLED);
    let root = hive.root();
    let machine_root = mount(&mut hive, root, "MACHINE", Lifetime::Volatile);
    let user_root = mount(&mut hive, root, "USER", Lifetime::Volatile);
    for name in MACHINE_HIVES {
        let lifetime = if name == "HARDWARE" { Lifetime::Volatile } else { Lifetime::Stable };
        mount(&mut hive, machine_root, name, lifetime);
    }
    let account = Sid::user().to_string();
    let classes = format!("{account}_Classes");
    for name in USER_HIVES.into_iter().chain([account.as_str(), classes.as_str()]) {
        mount(&mut hive, user_root, name, Lifetime::Stable);
    }
    machine::fill(&mut Filler::at(&mut hive, machine_root), edition, seed);
    for name in [USER_HIVES[0], USER_HIVES[1], account.as_str()] {
        user::fill(&mut Filler::at(&mut hive, user_root).below(name), edition);
    }
    hive
}

fn mount(hive: &mut Hive, parent: KeyId, name: &str, lifetime: Lifetime) -> KeyId {
    let name: Vec<u16> = name.encode_utf16().collect();
    let new = NewKey { name: &name, class: &[], lifetime, kind: KeyKind::Plain };
    hive.add_anywhere(parent, &new, INSTALLED).expect("each hive is mounted once")
}

/// Puts keys and values below a key.
pub(super) struct Filler<'a> {
    hive: &'a mut Hive,
    base: KeyId,
    key: KeyId,
}

impl<'a> Filler<'a> {
    fn at(hive: &'a mut Hive, base: KeyId) -> Self {
        Self { hive, base, key: base }
    }

    /// The same for a key further down, which is made if it is not there.
    fn below(mut self, path: &str) -> Self {
        self.key(path);
        self.base = self.key;
        self
    }

    /// Turns to the key of that path, which is made if it is not there; values go there from now on.
    pub(super) fn key(&mut self, path: &str) -> &mut Self {
        self.key = path.split('\\').fold(self.base, |at, name| self.child(at, name, KeyKind::Plain));
        self
    }

    fn child(&mut self, parent: KeyId, name: &str, kind: KeyKind) -> KeyId {
        let name: Vec<u16> = name.encode_utf16().collect();
        let found = self.hive.resolve(Some(parent), &name, LastLink::Followed);
        if let Ok(Target::Key(key)) = found {
            return key;
        }
        let lifetime = self.hive.key(parent).lifetime;
        let new = NewKey { name: &name, class: &[], lifetime, kind };
        self.hive.add(parent, &new, INSTALLED).expect("the names of a new machine are good")
    }

    /// Makes a link in the current key to another one, by its whole name.
    pub(super) fn link(&mut self, name: &str, to: &str) -> &mut Self {
        let key = self.key;
        self.key = self.child(key, name, KeyKind::Link);
        self.value(LINK_VALUE, REG_LINK, &utf16(to));
        self.key = key;
        self
    }

    fn value(&mut self, name: &str, kind: u32, data: &[u8]) -> &mut Self {
        let name: Vec<u16> = name.encode_utf16().collect();
        let set = self.hive.set_value(self.key, &name, kind, data, INSTALLED);
        set.expect("the values of a new machine fit");
        self
    }

    /// Text.
    pub(super) fn text(&mut self, name: &str, text: &str) -> &mut Self {
        self.value(name, SZ, &utf16(&format!("{text}\0")))
    }

    /// Text with names of variables in it.
    pub(super) fn expanding(&mut self, name: &str, text: &str) -> &mut Self {
        self.value(name, EXPAND_SZ, &utf16(&format!("{text}\0")))
    }

    /// Several texts.
    pub(super) fn texts(&mut self, name: &str, texts: &[&str]) -> &mut Self {
        let all: String = texts.iter().flat_map(|text| [text, "\0"]).collect();
        self.value(name, MULTI_SZ, &utf16(&format!("{all}\0")))
    }

    /// A number of 32 bits.
    pub(super) fn number(&mut self, name: &str, number: u32) -> &mut Self {
        self.value(name, DWORD, &number.to_le_bytes())
    }

    /// Bytes.
    pub(super) fn bytes(&mut self, name: &str, bytes: &[u8]) -> &mut Self {
        self.value(name, BINARY, bytes)
    }
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}
