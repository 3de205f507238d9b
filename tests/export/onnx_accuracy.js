// SPDX-License-Identifier: MIT
// node onnx_accuracy.js FOLDER MODEL.onnx: how many of the 1,000 images that accuracy.py cut ONNX Runtime gets right.
const fs = require('fs'), path = require('path');
const ort = require('onnxruntime-node');
const [folder, model] = process.argv.slice(2), count = 1000, size = 28;

async function main() {
    const bytes = fs.readFileSync(path.join(folder, 'images.u8')), labels = fs.readFileSync(path.join(folder, 'labels.u8'));
    const pixels = new ort.Tensor('float32', Float32Array.from(bytes, (b) => b / 255), [count, 1, size, size]);
    const { logits } = await (await ort.InferenceSession.create(model)).run({ pixels });
    const classes = logits.dims[1];
    let right = 0;
    for (let i = 0; i < count; i++) {
        const z = logits.data.subarray(i * classes, (i + 1) * classes);
        right += z.indexOf(Math.max(...z)) === labels[i];
    }
    console.log(right);
}
main().catch((error) => { console.error(error); process.exit(1); });
