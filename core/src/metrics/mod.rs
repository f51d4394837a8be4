//! Metrics: windows, histograms, a bounded history and alert rules.
