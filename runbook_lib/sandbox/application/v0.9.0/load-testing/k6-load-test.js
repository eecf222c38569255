// k6 run -e BASE_URL=https://scan.example.org k6-load-test.js
// Holds RATE requests a second for DURATION. Scans are left out: they are limited for each client.
import { check } from "k6";
import http from "k6/http";

const RATE = Number(__ENV.RATE || 500);
const PATHS = ["/health", "/api/providers/"];

export const options = {
  scenarios: {
    steady: {
      executor: "ramping-arrival-rate",
      startRate: 1,
      timeUnit: "1s",
      preAllocatedVUs: 50,
      maxVUs: 500,
      stages: [
        { target: RATE, duration: __ENV.RAMP || "5s" },
        { target: RATE, duration: __ENV.DURATION || "30s" },
      ],
    },
  },
  thresholds: {
    http_req_duration: ["p(95)<200"],
    http_req_failed: ["rate<0.01"],
    dropped_iterations: ["count==0"],
  },
};

export default function () {
  const path = PATHS[__ITER % PATHS.length];
  const answer = http.get(`${__ENV.BASE_URL || "http://127.0.0.1:8000"}${path}`, {
    headers: { "X-Runbook": __ENV.MARKER || "load-test" },
    tags: { name: path },
  });
  check(answer, { "status is 200": ({ status }) => status === 200 });
}
