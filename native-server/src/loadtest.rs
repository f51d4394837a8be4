//! Real requests against this server: the load tester.
