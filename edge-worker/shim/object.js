// A Durable Object whose inside is Rust. It is made when first called, and again when its wasm
// instance has ended: its memory is lost then, its storage is not.

import { DurableObject } from 'cloudflare:workers';
import { answered, guarded, instance } from './guard.js';

/** The class that Cloudflare sees for a class of the bindings. */
export const durable = (Inside) =>
  class extends DurableObject {
    #inside;
    #instance;

    #now() {
      if (this.#instance !== instance()) {
        this.#inside = new Inside(this.ctx, this.env);
        this.#instance = instance();
      }
      return this.#inside;
    }

    fetch(request) {
      return answered(() => this.#now().fetch(request));
    }

    // One that fails is tried again by the platform.
    alarm() {
      return guarded(() => this.#now().alarm());
    }
  };
