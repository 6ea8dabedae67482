//! What is printed.

/// A part of the walk begins.
pub(crate) fn heading(text: &str) {
    println!("\n== {text}");
}

/// One thing that happened.
pub(crate) fn line(text: &str) {
    println!("   {text}");
}
