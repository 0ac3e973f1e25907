// What workloads have in common: the template they make pods from, the selector that finds these again, generations.
#pragma once

#include "errors.hpp"
#include "kinds.hpp"

#include <string>
#include <vector>

namespace kubesim {

// spec.replicas is 1, and the template gets a pod's defaults.
void default_replicas(json &object);
// A Behaviour's prepare_create and prepare_update of kinds with a generation that counts changes of spec.
void prepare_workload_create(json &object);
void prepare_workload_update(json &after, const json &before, const std::string &subresource);
void next_generation(json &after, const json &before);
bool same_member(const json &a, const json &b, const char *name);

// Go's values as messages print them.
std::string go_labels(const json *labels);
std::string go_int_or_string(const json &value);
bool is_percent(const std::string &text);

// spec.selector; `what` is the kind in messages: deployment.
void validate_selector(const json &spec, const std::string &what, std::vector<FieldError> &errors);
// spec.template: its labels, its pod, which is restarted always.
void validate_selected_template(const json &spec, std::vector<FieldError> &errors);
// Both, replicas, and that the selector stays.
void validate_workload(const json &after, const json *before, const std::string &what, std::vector<FieldError> &errors);

// The containers' names or images, with commas: a cell of tables.
std::string of_containers(const json &pod_spec, const char *member);

} // namespace kubesim
