//! The same API on Cloudflare Workers.
