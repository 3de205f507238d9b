// SPDX-License-Identifier: MIT
// node onnx_logits.js DIR HEIGHT WIDTH CHANNELS CLASSES: ONNX Runtime computes the logits of DIR/pixels.u8 with DIR/model.onnx,
// in batches of 1, 2 and 100, and prints the largest difference from DIR/logits.f32.
const fs = require('fs'), path = require('path');
const ort = require('onnxruntime-node');
const [dir, ...rest] = process.argv.slice(2), [h, w, c, classes] = rest.map(Number), images = 100;
const bytes = fs.readFileSync(path.join(dir, 'pixels.u8'));
const wanted = new Float32Array(new Uint8Array(fs.readFileSync(path.join(dir, 'logits.f32'))).buffer);

// Bytes NHWC become floats NCHW.
function batch(first, n) {
    const x = new Float32Array(n * c * h * w);
    for (let i = 0; i < n; i++)
        for (let k = 0; k < c; k++)
            for (let p = 0; p < h * w; p++) x[(i * c + k) * h * w + p] = bytes[((first + i) * h * w + p) * c + k] / 255;
    return new ort.Tensor('float32', x, [n, c, h, w]);
}

async function main() {
    const session = await ort.InferenceSession.create(path.join(dir, 'model.onnx'));
    let worst = 0;
    for (const n of [1, 2, images])
        for (let at = 0; at < images; at += n) {
            const logits = (await session.run({ pixels: batch(at, n) })).logits;
            if (logits.dims.join() !== [n, classes].join()) throw new Error(`logits of the shape ${logits.dims}`);
            logits.data.forEach((x, i) => { worst = Math.max(worst, Math.abs(x - wanted[at * classes + i])); });
        }
    console.log(worst.toExponential(2));
}
main().catch((error) => { console.error(error); process.exit(1); });
