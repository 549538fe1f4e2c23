// Written by `make docs`. Code: name, whether to come back by oneself, first after so many ms.
export const CLOSE_CODES = {
  1000: ["done", false, 0],
  1001: ["restart", true, 500],
  1002: ["protocol", false, 0],
  1006: ["lost", true, 200],
  1007: ["not_text", false, 0],
  1009: ["too_big", false, 0],
  1011: ["trouble", true, 1000],
  4400: ["malformed", false, 0],
  4401: ["unauthorized", false, 0],
  4403: ["forbidden", false, 0],
  4404: ["unknown_type", false, 0],
  4429: ["too_many_devices", false, 0],
  4500: ["resume", true, 0],
  4501: ["token_expired", true, 0],
  4503: ["full", true, 5000],
  4508: ["late", true, 1000],
  4513: ["unavailable", true, 2000],
};
export const WAIT_MS_MAX = 30000;
