// Which files a connection is made of, and whether they are still the same. Pure C++; mirror worker.
#pragma once

#include "kubernetes/connection.hpp"

#include <map>
#include <string>
#include <string_view>

namespace dbnet::kubernetes {

// By name: what differs when the file was written, replaced, removed or made, or may be read now and could not before.
using FileStamps = std::map<std::string, std::string>;

// Adds files as they are now; those that are there already keep their stamps. One system call each; opens none.
void add_files(std::string_view path_list, FileStamps &files); // separated by ':' as in KUBECONFIG
void add_files(const Connection &connection, FileStamps &files);

// The same files as they are now.
FileStamps look_again(const FileStamps &files);

} // namespace dbnet::kubernetes
