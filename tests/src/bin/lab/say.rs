//! What is printed.

/// A part of the walk begins.
pub(super) fn heading(text: &str) {
    println!("\n== {text}");
}

/// One thing that happened.
pub(super) fn line(text: &str) {
    println!("   {text}");
}
