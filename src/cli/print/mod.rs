//! Output: tables aligned as kubectl aligns them, and documents.

pub mod document;
pub mod table;
