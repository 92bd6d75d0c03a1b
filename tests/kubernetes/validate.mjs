// SPDX-License-Identifier: Apache-2.0
// validate.mjs DIR <objects.json: Kubernetes objects against what kubernetes-models, installed in DIR
// by cmake/setup/npm.sh, has of Kubernetes' own OpenAPI: types and required fields by its JSON
// schemas, and fields that do not exist by its TypeScript types. Prints a line for each mistake.
import {createRequire} from "node:module";
import {readFileSync, writeFileSync, rmSync} from "node:fs";
import {join} from "node:path";
import {pathToFileURL} from "node:url";

const home = process.argv[2];
const ts = createRequire(join(home, "package.json"))("typescript");
const objects = JSON.parse(readFileSync(0, "utf8"));

function moduleOf({apiVersion, kind}) {
    const source = apiVersion.startsWith("monitoring.coreos.com/") ?
        "@kubernetes-models/prometheus-operator" : "kubernetes-models";
    return `${source}/${apiVersion}/${kind}`;
}

const mistakes = [];
const lines = [];
for (const [number, object] of objects.entries()) {
    const name = `${object.kind} ${object.metadata?.name}`;
    try {
        const path = join(home, "node_modules", moduleOf(object) + ".js");
        const Model = (await import(pathToFileURL(path)))[object.kind];
        new Model(object).validate();
    } catch (error) {
        mistakes.push(`${name}: ${String(error.message).split("\n")[0]}`);
    }
    lines.push([name, `import type {I${object.kind} as T${number}} from "${moduleOf(object)}";` +
        `export const o${number}: T${number} = ${JSON.stringify(object)};`]);
}

// One line an object, so that a diagnostic's line says whose it is.
const file = join(home, `check.${process.pid}.ts`);
writeFileSync(file, lines.map(([, text]) => text).join("\n"));
const program = ts.createProgram([file], {
    noEmit: true, strict: true, skipLibCheck: true, types: [], target: ts.ScriptTarget.ES2022,
    module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Bundler,
});
for (const each of ts.getPreEmitDiagnostics(program)) {
    const at = each.file && each.start !== undefined ?
        each.file.getLineAndCharacterOfPosition(each.start).line : 0;
    mistakes.push(`${lines[at]?.[0]}: ${ts.flattenDiagnosticMessageText(each.messageText, " ")}`);
}
rmSync(file);
for (const each of mistakes) {
    console.log(each);
}
process.exit(mistakes.length ? 1 : 0);
