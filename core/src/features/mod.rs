//! Numbers out of records: text, numerical, categorical, temporal, wine and dish features.
