// SPDX-License-Identifier: Apache-2.0
// admission.mjs DIR <{policy, requests}: what a ValidatingAdmissionPolicy makes of requests, by an
// implementation of CEL that is not Kubernetes' own. Prints a line for each: "allow", "other" (the
// policy is not about it) or "deny: MESSAGE".
import {readFileSync} from "node:fs";
import {join} from "node:path";
import {createRequire} from "node:module";
import {pathToFileURL} from "node:url";

const home = process.argv[2];
const {evaluate} = await import(pathToFileURL(
    createRequire(join(home, "package.json")).resolve("@marcbachmann/cel-js")));
const {policy, requests} = JSON.parse(readFileSync(0, "utf8"));
const {matchConditions, variables, validations} = policy.spec;

// An expression that cannot be evaluated is a no: failurePolicy is Fail.
function truth(expression, context) {
    try {
        return evaluate(expression, context) === true;
    } catch (error) {
        return false;
    }
}

function decide(request) {
    const context = {...request, variables: {}};
    if (!matchConditions.every(each => truth(each.expression, context))) {
        return "other";
    }
    for (const {name, expression} of variables) {
        context.variables[name] = evaluate(expression, context);
    }
    const wrong = validations.find(each => !truth(each.expression, context));
    return wrong ? "deny: " + wrong.message : "allow";
}

for (const request of requests) {
    console.log(decide(request));
}
