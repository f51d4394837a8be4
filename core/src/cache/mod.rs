//! A cache bounded in entries and bytes, with a time to live for each entry.
