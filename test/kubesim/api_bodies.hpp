// What the writes of the resource API share about bodies: kind and apiVersion around objects, warnings, wordings.
#pragma once

#include "api.hpp"

namespace kubesim {

std::string media_type(const Request &request);
json without_type(json object);
json with_type(const Kind &kind, json object);
std::string not_registered(const std::string &kind, const std::string &version);
std::string json_type(const json &value); // in the words of Go's decoder
bool has_items(const json &object, const char *name);
void add_warnings(Response &response, const std::vector<std::string> &warnings);

} // namespace kubesim
