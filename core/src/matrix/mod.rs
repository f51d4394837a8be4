//! Dense and CSR matrices, their product and the similarity of their rows.
