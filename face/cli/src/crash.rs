//! The end of a program that died of an exception, in words.

use vadose_machine::report::CrashReport;

/// What happened, where, and what it touched.
pub(crate) fn text(name: &str, crash: &CrashReport) -> String {
    let place = crash.place.as_ref().map_or_else(|| "in no image".to_owned(), Clone::clone);
    let mut text = format!(
        "vadose: {name} died of an exception that nobody handled: {} ({:#010x})\n",
        crash.name, crash.code
    );
    text.push_str(&format!("  instruction  {:#x}, {place}\n", crash.address));
    if let Some(access) = &crash.access {
        text.push_str(&format!("  access       {} of {:#x}\n", access.verb, access.address));
        text.push_str(&format!("  region       {}\n", access.region));
    } else if !crash.parameters.is_empty() {
        let parameters: Vec<String> = crash.parameters.iter().map(|one| format!("{one:#x}")).collect();
        text.push_str(&format!("  parameters   {}\n", parameters.join(" ")));
    }
    text
}
