// Written by `make docs`. Code: whether to come back by oneself, first after so many ms.
export const CLOSE_CODES = {
  1000: [0, 0], // done
  1001: [1, 500], // restart
  1002: [0, 0], // protocol
  1006: [1, 200], // lost
  1007: [0, 0], // not_text
  1009: [0, 0], // too_big
  1011: [1, 1000], // trouble
  4400: [0, 0], // malformed
  4401: [0, 0], // unauthorized
  4403: [0, 0], // forbidden
  4404: [0, 0], // unknown_type
  4429: [0, 0], // too_many_devices
  4500: [1, 0], // resume
  4501: [1, 0], // token_expired
  4503: [1, 5000], // full
  4508: [1, 1000], // late
  4513: [1, 2000], // unavailable
  4529: [1, 2000], // too_fast
  4530: [1, 10000], // too_many_here
};
export const WAIT_MS_MAX = 30000;
