//! Where this machine gets its packages: the entries of its package client's configuration that can have Wine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The part of an archive that has packages which depend on no other part.
const MAIN: &str = "main";
/// Suites that move, by the names that every Debian archive gives them.
const MOVING: [&str; 6] = ["oldoldstable", "oldstable", "stable", "testing", "unstable", "sid"];
/// Those that are newer than the newest release.
const AHEAD: [&str; 3] = ["testing", "unstable", "sid"];
/// The newest release.
const STABLE: &str = "stable";
/// Entries of a configuration that are asked.
const MAX_ENTRIES: usize = 4;
/// Options of an entry that say how it is checked: they go with it.
const CHECKS: [&str; 4] = ["signed-by", "trusted", "check-valid-until", "check-date"];

/// Where the configuration is, as the package client says.
#[derive(Debug)]
pub(super) struct Configuration {
    /// The folder that it calls the root.
    pub(super) root: PathBuf,
    /// The file with entries, a line each.
    pub(super) list: PathBuf,
    /// The folder of further files.
    pub(super) parts: PathBuf,
}

/// An entry: a place that packages come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    /// Options by their names in lower case, with all their lines.
    options: BTreeMap<String, String>,
}

/// A suite at such a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Source {
    entry: Entry,
    pub(super) suite: String,
}

/// What the machine says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
struct Release {
    id: String,
    codenames: Vec<String>,
    /// Whether it is a release of Debian or what is to be the next one, and not another's.
    is_debian: bool,
    is_released: bool,
}

impl Configuration {
    /// What to ask for packages, the likeliest first: the suite that was asked for, or else the newest release and what
    /// is configured.
    pub(super) fn sources(&self, asked: Option<&str>) -> Vec<Source> {
        let release = Release::parse(&read(&self.root.join("etc/os-release")));
        sources(self.entries(), &release, asked)
    }

    fn entries(&self) -> Vec<Entry> {
        let mut entries = read_list(&read(&self.list));
        let parts = fs::read_dir(&self.parts).into_iter().flatten().flatten();
        let mut parts: Vec<PathBuf> = parts.map(|part| part.path()).collect();
        parts.sort();
        for part in parts {
            match part.extension().and_then(|extension| extension.to_str()) {
                Some("list") => entries.extend(read_list(&read(&part))),
                Some("sources") => entries.extend(read_stanzas(&read(&part))),
                Some(_) | None => {}
            }
        }
        entries
    }
}

/// What cannot be read says nothing: the package client itself complains of it.
fn read(path: &Path) -> String {
    fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

impl Release {
    fn parse(text: &str) -> Self {
        let mut release = Self::default();
        let mut is_derived = false;
        for (name, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let value = value.trim().trim_matches(['"', '\'']).to_owned();
            match name.trim() {
                "ID" => release.id = value,
                "VERSION_ID" => release.is_released = true,
                "VERSION_CODENAME" => release.codenames.push(value),
                "DEBIAN_CODENAME" => {
                    is_derived = true;
                    release.codenames.push(value);
                }
                _ => {}
            }
        }
        release.is_debian = release.id == "debian" || is_derived;
        release
    }
}

fn sources(entries: Vec<Entry>, release: &Release, asked: Option<&str>) -> Vec<Source> {
    let mut ranked: Vec<(u32, String, Entry)> =
        entries.into_iter().filter_map(|entry| rank(entry, release)).collect();
    ranked.sort_by_key(|(rank, ..)| *rank);
    ranked.truncate(MAX_ENTRIES);
    let ahead = !release.is_released || ranked.first().is_some_and(|(_, suite, _)| AHEAD.contains(&&**suite));
    let mut sources: Vec<Source> = Vec::new();
    let mut add = |entry: &Entry, suite: &str| {
        let source = Source { entry: entry.clone(), suite: suite.to_owned() };
        if !sources.contains(&source) {
            sources.push(source);
        }
    };
    let newest = (release.is_debian && asked.is_none()).then_some(STABLE);
    let of = |suite| ranked.iter().map(move |(_, own, entry)| (entry, asked.or(suite).unwrap_or(own)));
    let configured = of(None);
    let newest = newest.map(|newest| of(Some(newest)));
    let newest = newest.into_iter().flatten();
    if ahead {
        configured.chain(newest).for_each(|(entry, suite)| add(entry, suite));
    } else {
        newest.chain(configured).for_each(|(entry, suite)| add(entry, suite));
    }
    sources
}

/// How likely an entry is to be the distribution's own archive, lowest first, and its suite; `None` if it is not.
fn rank(entry: Entry, release: &Release) -> Option<(u32, String, Entry)> {
    if !entry.components.iter().any(|component| component == MAIN) {
        return None;
    }
    let by_codename = entry.suites.iter().find(|suite| release.codenames.contains(suite));
    let moving = || entry.suites.iter().find(|suite| MOVING.contains(&&***suite));
    let suite = by_codename.or_else(moving)?.clone();
    // An archive of Debian ends in /debian wherever it is mirrored.
    let is_named_so =
        entry.uris.iter().any(|uri| uri.trim_end_matches('/').rsplit('/').next() == Some(&release.id));
    let rank = u32::from(!is_named_so) * 2 + u32::from(by_codename.is_none());
    Some((rank, suite, entry))
}

/// Entries of the older form, a line each: `deb [option=value...] URI SUITE COMPONENT...`.
fn read_list(text: &str) -> Vec<Entry> {
    text.lines().filter_map(read_line).collect()
}

fn read_line(line: &str) -> Option<Entry> {
    let line = line.split('#').next().unwrap_or_default().trim();
    let rest = line.strip_prefix("deb")?;
    let rest = rest.strip_prefix(char::is_whitespace)?.trim_start();
    let (options, rest) = match rest.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?,
        None => ("", rest),
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    let (uri, suite) = (words.next()?, words.next()?);
    let checks = options.split_whitespace().filter_map(|option| option.split_once('='));
    let checks = checks.map(|(name, value)| (name.to_ascii_lowercase(), value.replace(',', " ")));
    Some(Entry {
        uris: vec![uri],
        suites: vec![suite],
        components: words.collect(),
        options: checks.filter(|(name, _)| CHECKS.contains(&&**name)).collect(),
    })
}

/// Entries of the newer form: fields, a line or more each, and an empty line between entries.
fn read_stanzas(text: &str) -> Vec<Entry> {
    let mut entries = Vec::new();
    let mut fields: Vec<(String, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')).chain([""]) {
        if line.trim().is_empty() {
            entries.extend(read_fields(&fields.drain(..).collect()));
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = fields.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((name, value)) = line.split_once(':') {
            fields.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
        }
    }
    entries
}

fn read_fields(fields: &BTreeMap<String, String>) -> Option<Entry> {
    let words = |name: &str| -> Vec<String> {
        fields.get(name).into_iter().flat_map(|value| value.split_whitespace()).map(str::to_owned).collect()
    };
    let is_off =
        |word: &String| ["no", "false", "off", "without", "disable"].contains(&&*word.to_ascii_lowercase());
    let is_on = !words("enabled").first().is_some_and(is_off);
    let is_binary = words("types").iter().any(|kind| kind == "deb");
    let checks = fields.iter().filter(|(name, _)| CHECKS.contains(&&***name));
    (is_on && is_binary).then(|| Entry {
        uris: words("uris"),
        suites: words("suites"),
        components: words("components"),
        options: checks.map(|(name, value)| (name.clone(), value.clone())).collect(),
    })
}

impl Source {
    /// The source as a file of the newer form that asks for package lists and nothing else.
    pub(super) fn stanza(&self) -> String {
        let Entry { uris, components, options, .. } = &self.entry;
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\nTargets: Packages\n",
            uris.join(" "),
            self.suite,
            components.join(" "),
        );
        for (name, value) in options {
            text.push_str(&format!("{name}: {value}\n"));
        }
        text
    }

    /// The place, for messages.
    pub(super) fn place(&self) -> String {
        self.entry.uris.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEBIAN: &str = "ID=debian\nVERSION_ID=\"12\"\nVERSION_CODENAME=bookworm\n";

    /// What is asked, as `suite place`.
    fn asked(list: &str, stanzas: &str, release: &str, suite: Option<&str>) -> Vec<String> {
        let entries = [read_list(list), read_stanzas(stanzas)].concat();
        let sources = sources(entries, &Release::parse(release), suite);
        sources.iter().map(|source| format!("{} {}", source.suite, source.place())).collect()
    }

    #[test]
    fn the_newest_release_is_asked_before_the_configured_one() {
        let stanzas = "Types: deb deb-src\nURIs: http://a.example/debian\nSuites: bookworm bookworm-updates\nComponents: main\n";
        assert_eq!(
            asked("", stanzas, DEBIAN, None),
            ["stable http://a.example/debian", "bookworm http://a.example/debian"]
        );
        assert_eq!(asked("", stanzas, DEBIAN, Some("trixie")), ["trixie http://a.example/debian"]);
        let line = "deb http://a.example/debian stable main # the newest";
        assert_eq!(asked(line, "", DEBIAN, None), ["stable http://a.example/debian"]);
    }

    #[test]
    fn a_machine_that_is_ahead_of_the_newest_release_asks_its_own_suite_first() {
        for (suite, release) in [
            ("forky", "ID=debian\nVERSION_CODENAME=forky\n"),
            ("sid", "ID=debian\nVERSION_CODENAME=forky\n"),
            ("testing", DEBIAN),
        ] {
            let line = format!("deb http://a.example/debian {suite} main\n");
            assert_eq!(asked(&line, "", release, None)[0], format!("{suite} http://a.example/debian"));
        }
    }

    #[test]
    fn another_distribution_is_asked_for_its_own_suite_only() {
        let ubuntu = "ID=ubuntu\nID_LIKE=debian\nVERSION_ID=\"24.04\"\nVERSION_CODENAME=noble\n";
        let list = "deb http://a.example/ubuntu noble main universe\ndeb http://b.example/apt stable main\n";
        assert_eq!(
            asked(list, "", ubuntu, None),
            ["noble http://a.example/ubuntu", "stable http://b.example/apt"]
        );
    }

    #[test]
    fn other_archives_come_last_and_what_cannot_have_wine_not_at_all() {
        let list = "\
            # deb http://off.example/debian bookworm main\n\
            deb http://tools.example/apt stable main\n\
            deb-src http://a.example/debian bookworm main\n\
            deb http://a.example/debian bookworm-updates main\n\
            deb http://a.example/debian-security bookworm-security main\n\
            deb http://cloud.example/apt cloud-bookworm main\n\
            deb http://editor.example/apt bookworm editor\n\
            deb http://flat.example/ ./\n\
            deb\n\
            deb [signed-by=/k,/l arch=amd64] http://a.example/debian/ bookworm main contrib\n";
        assert_eq!(
            asked(list, "", DEBIAN, None),
            [
                "stable http://a.example/debian/",
                "stable http://tools.example/apt",
                "bookworm http://a.example/debian/"
            ]
        );
    }

    #[test]
    fn an_entry_that_is_switched_off_is_none() {
        for switch in ["no", "No", "false"] {
            let stanza =
                format!("Enabled: {switch}\nTypes: deb\nURIs: u\nSuites: stable\nComponents: main\n");
            assert_eq!(asked("", &stanza, DEBIAN, None), [""; 0], "{switch}");
        }
    }

    #[test]
    fn a_key_in_the_entry_goes_with_it_line_by_line() {
        let stanzas = "\
            # a comment\n\
            Types: deb\n\
            URIs: http://a.example/debian\n\
            Suites: bookworm\n\
            Components: main\n\
            # a comment inside\n\
            Signed-By:\n -----BEGIN\n .\n abc\n\
            Architectures: amd64\n\
            \n\
            Types: deb\nURIs: u\nSuites: x\nComponents: main\n";
        let entries = read_stanzas(stanzas);
        assert_eq!(entries.len(), 2);
        let source = Source { entry: entries[0].clone(), suite: "trixie".to_owned() };
        assert_eq!(
            source.stanza(),
            "Types: deb\nURIs: http://a.example/debian\nSuites: trixie\nComponents: main\nTargets: Packages\n\
             signed-by: \n -----BEGIN\n .\n abc\n"
        );
        let line = &read_list("deb [ signed-by=/k,/l trusted=yes arch=amd64 ] u bookworm main\n")[0];
        let source = Source { entry: line.clone(), suite: "bookworm".to_owned() };
        assert!(source.stanza().ends_with("signed-by: /k /l\ntrusted: yes\n"), "{}", source.stanza());
    }
}
