// Checks of names, labels and the rest of an object's metadata, with the server's messages.
#pragma once

#include "errors.hpp"
#include "kinds.hpp"

#include <string>
#include <vector>

namespace kubesim {

std::vector<std::string> name_errors(NameRule rule, const std::string &name);
std::vector<std::string> qualified_name_errors(const std::string &name); // label keys, taint keys
std::vector<std::string> label_value_errors(const std::string &value);
std::vector<std::string> config_key_errors(const std::string &key);

void validate_labels(const json &labels, const std::string &path, std::vector<FieldError> &errors);
// "must be greater than or equal to 0" unless the member is missing or no less than 0.
void validate_not_negative(const json &object, const char *name, const std::string &path,
                           std::vector<FieldError> &errors);

// Everything in metadata a create checks.
void validate_metadata(const Kind &kind, const json &metadata, std::vector<FieldError> &errors);
// Everything in metadata an update checks. The server runs these checks twice, so callers do the same.
void validate_metadata_update(const json &after, const json &before, std::vector<FieldError> &errors);

} // namespace kubesim
