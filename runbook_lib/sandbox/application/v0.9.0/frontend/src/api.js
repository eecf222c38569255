/** What went wrong, as a sentence for the person at the page. */
export class ScanError extends Error {}

/**
 * Have the service read a payment request.
 * Throws ScanError where it refuses, or does not answer.
 */
export async function scan(content) {
  let response;
  try {
    response = await fetch("/api/scan/", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ content }),
    });
  } catch {
    throw new ScanError("The service does not answer. Are you online?");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) {
    throw new ScanError(body.detail ?? `The service answered with status ${response.status}.`);
  }
  return body;
}
