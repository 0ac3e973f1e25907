// Events: kept as those of the core group, seen in events.k8s.io/v1 too, where most members have other names.
#include "kinds.hpp"

#include "pod_spec.hpp"
#include "times.hpp"
#include "validation.hpp"

#include <array>

namespace kubesim {

namespace {

constexpr std::array<std::array<const char *, 2>, 7> names = {{{"involvedObject", "regarding"},
                                                               {"message", "note"},
                                                               {"source", "deprecatedSource"},
                                                               {"firstTimestamp", "deprecatedFirstTimestamp"},
                                                               {"lastTimestamp", "deprecatedLastTimestamp"},
                                                               {"count", "deprecatedCount"},
                                                               {"reportingComponent", "reportingController"}}};

json renamed(json object, size_t from) {
    for (const auto &pair : names)
        if (object.contains(pair[from])) {
            object[pair[1 - from]] = std::move(object[pair[from]]);
            object.erase(pair[from]);
        }
    return object;
}

json from_core(json object) {
    json out = renamed(std::move(object), 0);
    // Here empty ones are not written.
    for (const char *name : {"reportingController", "reportingInstance"})
        if (text_of(out, name).empty())
            out.erase(name);
    return out;
}

json to_core(json object) {
    json out = renamed(std::move(object), 1);
    for (const char *name : {"reportingComponent", "reportingInstance"})
        if (!out.contains(name))
            out[name] = "";
    return out;
}

void validate_place(const json &after, const char *member, std::vector<FieldError> &errors) {
    const std::string place = text_of(after.at("metadata"), "namespace");
    const std::string named = text_of(after.at(member), "namespace");
    // What is in no namespace is told in the default one.
    if (named != place && !(named.empty() && place == "default"))
        errors.push_back(
            FieldError::invalid("involvedObject.namespace", go_quoted(named), "does not match event.namespace"));
}

void core_validate(const json &after, const json *, std::vector<FieldError> &errors) {
    validate_place(after, "involvedObject", errors);
}

void event_validate(const json &after, const json *before, std::vector<FieldError> &errors) {
    validate_place(after, "regarding", errors);
    if (before)
        return;
    auto require = [&](const char *member, const char *field) {
        if (text_of(after, member).empty())
            errors.push_back(FieldError::required(field, ""));
    };
    if (after.at("eventTime").is_null())
        errors.push_back(FieldError::required("eventTime", ""));
    const std::string type = text_of(after, "type");
    if (!after.at("eventTime").is_null()) {
        require("reportingController", "reportingController");
        require("reportingInstance", "reportingInstance");
        require("action", "action");
        require("reason", "reason");
    }
    if (type != "Normal" && type != "Warning")
        errors.push_back(FieldError::invalid("type", go_quoted(type), "has invalid value: " + type));
}

json event_cells(const json &seen) {
    const json object = seen.contains("regarding") ? renamed(seen, 1) : seen;
    const json &about = object.at("involvedObject"), *series = find(object, "series");
    std::string kind = text_of(about, "kind");
    for (char &letter : kind)
        letter = static_cast<char>(tolower(letter));
    const std::string name = text_of(about, "name");
    std::string first = text_of(object, "firstTimestamp"), last = text_of(object, "lastTimestamp");
    if (first.empty())
        first = text_of(object, "eventTime");
    if (series)
        last = text_of(*series, "lastObservedTime");
    if (last.empty())
        last = first;
    const json *source = find(object, "source");
    std::string component = source ? text_of(*source, "component") : "", host = source ? text_of(*source, "host") : "";
    if (component.empty()) {
        component = text_of(object, "reportingComponent");
        host = text_of(object, "reportingInstance");
    }
    int64_t count = integer_of(series ? *series : object, "count", 0);
    if (count == 0)
        count = 1;
    return json::array({age(last), text_of(object, "type"), text_of(object, "reason"),
                        name.empty() ? kind : kind + "/" + name, text_of(about, "fieldPath"),
                        host.empty() ? component : component + ", " + host, text_of(object, "message"), age(first),
                        count, text_of(object.at("metadata"), "name")});
}

} // namespace

Behaviour event_behaviour(const std::string &group) {
    Behaviour out;
    const bool core = group.empty();
    const std::string about = core ? "involvedObject." : "regarding.";
    for (const char *name : {"kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath"})
        out.field_selectors.push_back(about + name);
    for (const char *name : {"reason", core ? "reportingComponent" : "reportingController", "type"})
        out.field_selectors.push_back(name);
    if (core)
        out.field_selectors.push_back("source");
    else
        out.kept_as = {"", "v1", to_core, from_core};
    out.created_by_update = true;
    out.validate = core ? core_validate : event_validate;
    out.hides_name = true;
    out.hides_age = true;
    out.columns = {
        {"Last Seen", "string", "", "The time at which the most recent occurrence of this event was recorded.", 0},
        {"Type", "string", "", "Type of this event (Normal, Warning), new types could be added in the future", 0},
        {"Reason", "string", "",
         "This should be a short, machine understandable string that gives the reason for the transition into the "
         "object's current status.",
         0},
        {"Object", "string", "", "The object that this event is about.", 0},
        {"Subobject", "string", "",
         "If referring to a piece of an object instead of an entire object, this string should contain a valid JSON/Go "
         "field access statement, such as desiredState.manifest.containers[2].",
         1},
        {"Source", "string", "", "The component reporting this event. Should be a short machine understandable string.",
         1},
        {"Message", "string", "", "A human-readable description of the status of this operation.", 0},
        {"First Seen", "string", "",
         "The time at which the event was first recorded. (Time of server receipt is in TypeMeta.)", 1},
        {"Count", "string", "", "The number of times this event has occurred.", 1},
        {"Name", "string", "name", "Name must be unique within a namespace.", 1}};
    out.cells = event_cells;
    return out;
}

} // namespace kubesim
