// Reads kubeconfig files as kubectl does: several files are merged and the first one to name a thing wins, relative
// paths belong to the file's own directory, embedded data beats files. Used by backends and the mirror worker.
#pragma once

#include "kubernetes/connection.hpp"

#include <string>
#include <string_view>

namespace dbnet::kubernetes {

// A kubeconfig's text. `directory` is where its relative paths start; `origin` names the text in errors (a file name or
// an option's name). An empty context means the file's current-context. Throws Failure.
Connection from_kubeconfig_text(std::string_view text, std::string_view context, std::string_view directory,
                                std::string_view origin);

// Files separated by ':' as in KUBECONFIG; files that do not exist are skipped unless it is the only one. Throws
// Failure.
Connection from_kubeconfig_files(std::string_view path_list, std::string_view context);

} // namespace dbnet::kubernetes
