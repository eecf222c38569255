import jsQR from "jsqr";

const LONGEST_SIDE = 1200;

/** The text of the QR code in these pixels, or null. */
export function decode({ data, width, height }) {
  return jsQR(data, width, height)?.data || null;
}

/** The pixels of `source` (a video or a picture), made smaller where it is large. */
export function pixels(source, width, height) {
  const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.drawImage(source, 0, 0, canvas.width, canvas.height);
  return context.getImageData(0, 0, canvas.width, canvas.height);
}

/** The text of the QR code in a picture file, or null. Throws where the file is no picture. */
export async function decodeFile(file) {
  const picture = await createImageBitmap(file);
  try {
    return decode(pixels(picture, picture.width, picture.height));
  } finally {
    picture.close();
  }
}
