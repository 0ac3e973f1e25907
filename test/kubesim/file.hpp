// Whole files in and out.
#pragma once

#include <string>

namespace kubesim {

std::string read_file(const std::string &path); // throws std::runtime_error naming the path
// Written under a temporary name and renamed, so that a waiting reader never sees half a file.
void write_file(const std::string &path, const std::string &text, int mode);
std::string base64(const std::string &bytes);
bool base64_decode(const std::string &text, std::string &bytes);

} // namespace kubesim
