// What is special about the kinds of batch/v1: Job and CronJob.
#include "kinds.hpp"

#include "pod_spec.hpp"
#include "selection.hpp"
#include "times.hpp"
#include "validation.hpp"
#include "workload.hpp"

#include <ctime>

namespace kubesim {

namespace {

void default_missing(json &spec, const char *name, const json &value) {
    if (!spec.contains(name))
        spec[name] = value;
}

// ---- Job ------------------------------------------------------------------------------------------------------

// Of a Job, and of the one in a CronJob, whose pods get no defaults of their own before it is made.
void job_spec_defaults(json &spec) {
    if (!spec.contains("completions") && !spec.contains("parallelism"))
        spec["completions"] = 1;
    default_missing(spec, "parallelism", 1);
    default_missing(spec, "backoffLimit", 6);
    default_missing(spec, "completionMode", "NonIndexed");
    default_missing(spec, "suspend", false);
    default_pod_spec(spec["template"]["spec"]);
}

void take_template_labels(json &object) {
    const json &metadata = object["spec"]["template"]["metadata"];
    const json *labels = find(metadata, "labels");
    if (labels && !object["metadata"].contains("labels"))
        object["metadata"]["labels"] = *labels;
}

void job_defaults(json &object) {
    job_spec_defaults(object["spec"]);
    take_template_labels(object);
}

bool has_manual_selector(const json &spec) {
    const json *manual = find(spec, "manualSelector");
    return manual && *manual == true;
}

void job_prepare_create(json &object) {
    prepare_workload_create(object);
    json &spec = object["spec"], &labels = spec["template"]["metadata"]["labels"];
    const std::string uid = text_of(object["metadata"], "uid");
    if (!has_manual_selector(spec)) {
        default_missing(labels, "controller-uid", uid);
        default_missing(labels, "job-name", object["metadata"]["name"]);
        spec["selector"]["matchLabels"]["controller-uid"] = uid;
    }
    if (labels.is_null())
        spec["template"]["metadata"].erase("labels");
    object["metadata"]["annotations"]["batch.kubernetes.io/job-tracking"] = "";
    take_template_labels(object);
}

void job_prepare_update(json &after, const json &before, const std::string &subresource) {
    prepare_workload_update(after, before, subresource);
    const json *annotations = find(before.at("metadata"), "annotations");
    if (annotations && annotations->contains("batch.kubernetes.io/job-tracking"))
        after["metadata"]["annotations"]["batch.kubernetes.io/job-tracking"] = "";
}

void validate_job_spec(const json &spec, const std::string &path, bool selected, std::vector<FieldError> &errors) {
    for (const char *name :
         {"parallelism", "completions", "activeDeadlineSeconds", "backoffLimit", "ttlSecondsAfterFinished"})
        validate_not_negative(spec, name, path, errors);
    const std::string mode = text_of(spec, "completionMode");
    if (!mode.empty() && mode != "NonIndexed" && mode != "Indexed")
        errors.push_back(
            FieldError::not_supported(path + ".completionMode", go_quoted(mode), {"NonIndexed", "Indexed"}));
    if (mode == "Indexed" && !spec.contains("completions"))
        errors.push_back(FieldError::required(path + ".completions", "when completion mode is Indexed"));
    const json &pod = spec.at("template");
    if (selected) {
        const json *labels = find(pod.at("metadata"), "labels");
        if (!selects(spec.at("selector"), labels))
            errors.push_back(FieldError::invalid(path + ".template.metadata.labels", go_labels(labels),
                                                 "`selector` does not match template `labels`"));
    }
    validate_pod_spec(pod.at("spec"), path + ".template.spec", errors);
    const std::string policy = text_of(pod.at("spec"), "restartPolicy");
    if (policy == "Always" || policy.empty())
        errors.push_back(
            FieldError::required(path + ".template.spec.restartPolicy", "valid values: \"OnFailure\", \"Never\""));
}

void job_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    const json &spec = after.at("spec");
    const json *selector = find(spec, "selector");
    if (!selector)
        return errors.push_back(FieldError::required("spec.selector", ""));
    if (!before && !has_manual_selector(spec)) {
        const json expected = {{"matchLabels", {{"controller-uid", after.at("metadata").at("uid")}}}};
        if (*selector != expected)
            errors.push_back(
                FieldError::invalid("spec.selector", selector_go(*selector), "`selector` not auto-generated"));
    }
    validate_job_spec(spec, "spec", true, errors);
    if (!before)
        return;
    const json &old = before->at("spec");
    auto keep = [&](const char *name, const std::string &printed) {
        if (!same_member(spec, old, name))
            errors.push_back(FieldError::invalid(std::string("spec.") + name, printed, "field is immutable"));
    };
    auto print = [&](const char *name) {
        const json *value = find(spec, name);
        return value ? dump(*value) : "null";
    };
    keep("completions", print("completions"));
    keep("selector", selector_go(*selector));
    keep("template", "core.PodTemplateSpec" + go_value(spec.at("template"), false)); // a real server dumps Go structs
    keep("completionMode", print("completionMode"));
}

json job_cells(const json &object) {
    const json &spec = object.at("spec"), &status = object.at("status"), &pod = spec.at("template").at("spec");
    std::string completions = std::to_string(integer_of(status, "succeeded", 0)) + "/";
    if (const json *wanted = find(spec, "completions"))
        completions += dump(*wanted);
    else if (int64_t parallel = integer_of(spec, "parallelism", 0); parallel > 1)
        completions += "1 of " + std::to_string(parallel);
    else
        completions += "1";
    std::string duration;
    if (std::string start = text_of(status, "startTime"); !start.empty()) {
        const std::string end = text_of(status, "completionTime");
        duration = human_duration((end.empty() ? time(nullptr) : seconds_of(end)) - seconds_of(start));
    }
    return json::array({completions, duration, of_containers(pod, "name"), of_containers(pod, "image"),
                        selector_text(spec.at("selector"))});
}

// ---- CronJob --------------------------------------------------------------------------------------------------

void cron_job_defaults(json &object) {
    json &spec = object["spec"];
    if (text_of(spec, "concurrencyPolicy").empty())
        spec["concurrencyPolicy"] = "Allow";
    default_missing(spec, "suspend", false);
    default_missing(spec, "successfulJobsHistoryLimit", 3);
    default_missing(spec, "failedJobsHistoryLimit", 1);
    default_pod_spec(spec["jobTemplate"]["spec"]["template"]["spec"]);
}

void cron_job_validate(const json &after, const json *, std::vector<FieldError> &errors) {
    const json &spec = after.at("spec");
    if (text_of(after.at("metadata"), "name").size() > 52) // a Job's name is eleven characters longer
        errors.push_back(FieldError::invalid("metadata.name", go_quoted(text_of(after.at("metadata"), "name")),
                                             "must be no more than 52 characters"));
    const std::string schedule = text_of(spec, "schedule");
    size_t fields = 0;
    std::string listed;
    for (size_t at = 0; (at = schedule.find_first_not_of(" \t", at)) != std::string::npos; fields++) {
        const size_t end = std::min(schedule.find_first_of(" \t", at), schedule.size());
        listed += (listed.empty() ? "" : " ") + schedule.substr(at, end - at);
        at = end;
    }
    if (schedule.empty())
        errors.push_back(FieldError::required("spec.schedule", ""));
    else if (fields != 5 && schedule[0] != '@')
        errors.push_back(
            FieldError::invalid("spec.schedule", go_quoted(schedule),
                                "expected exactly 5 fields, found " + std::to_string(fields) + ": [" + listed + "]"));
    const std::string policy = text_of(spec, "concurrencyPolicy");
    if (policy != "Allow" && policy != "Forbid" && policy != "Replace")
        errors.push_back(
            FieldError::not_supported("spec.concurrencyPolicy", go_quoted(policy), {"Allow", "Forbid", "Replace"}));
    for (const char *name : {"startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"})
        validate_not_negative(spec, name, "spec", errors);
    validate_job_spec(spec.at("jobTemplate").at("spec"), "spec.jobTemplate.spec", false, errors);
}

json cron_job_cells(const json &object) {
    const json &spec = object.at("spec"), &status = object.at("status"), &job = spec.at("jobTemplate").at("spec");
    const json *suspend = find(spec, "suspend"), *active = find(status, "active"), *selector = find(job, "selector");
    const std::string last = text_of(status, "lastScheduleTime");
    const json &pod = job.at("template").at("spec");
    return json::array({text_of(spec, "schedule"), suspend && *suspend == true ? "True" : "False",
                        active ? active->size() : 0, last.empty() ? "<none>" : age(last), of_containers(pod, "name"),
                        of_containers(pod, "image"), selector ? selector_text(*selector) : "<none>"});
}

const Column containers = {"Containers", "string", "", "Names of each container in the template.", 1};
const Column images = {"Images", "string", "", "Images referenced by each container in the template.", 1};
const Column selector = {
    "Selector", "string", "",
    "A label query over pods that should match the pod count. Normally, the system sets this field for you. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors",
    1};

} // namespace

Behaviour batch_behaviour(const std::string &kind) {
    Behaviour out;
    out.untracked = {{"", path_set({{"status"}})}, {"status", path_set({{"spec"}})}};
    out.wide_columns = {containers, images, selector};
    if (kind == "Job") {
        out.field_selectors.push_back("status.successful");
        out.orphans_dependents = true; // as in the first version of its API
        out.set_defaults = job_defaults;
        out.prepare_create = job_prepare_create;
        out.prepare_update = job_prepare_update;
        out.validate = job_validate;
        out.columns = {{"Completions", "string", "", "The number of pods which reached phase Succeeded.", 0},
                       {"Duration", "string", "", "Time required to complete the job.", 0}};
        out.cells = job_cells;
        return out;
    }
    out.set_defaults = cron_job_defaults;
    out.prepare_create = prepare_workload_create;
    out.prepare_update = prepare_workload_update;
    out.validate = cron_job_validate;
    out.columns = {
        {"Schedule", "string", "", "The schedule in Cron format, see https://en.wikipedia.org/wiki/Cron.", 0},
        {"Suspend", "boolean", "",
         "This flag tells the controller to suspend subsequent executions, it does not apply to already started "
         "executions.  Defaults to false.",
         0},
        {"Active", "integer", "", "A list of pointers to currently running jobs.", 0},
        {"Last Schedule", "string", "", "Information when was the last time the job was successfully scheduled.", 0}};
    out.cells = cron_job_cells;
    return out;
}

} // namespace kubesim
