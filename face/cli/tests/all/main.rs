//! The command line as its user meets it: `vadose` started in a folder of its own.

#[cfg(feature = "unicorn")]
mod inspect;
#[cfg(feature = "unicorn")]
mod killed;
#[cfg(feature = "unicorn")]
mod labs;
mod listings;
mod mapped_files;
#[cfg(feature = "unicorn")]
mod real_dlls;
mod refusals;
mod runs;
#[cfg_attr(not(feature = "unicorn"), expect(dead_code, reason = "only a run needs all of it"))]
mod scene;
#[cfg(feature = "unicorn")]
mod shortage;
mod sysroots;
mod traces;
