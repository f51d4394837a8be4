//! Similarity between entities over the items that both rated.
