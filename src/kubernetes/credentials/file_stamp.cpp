// Implementation of file_stamp.hpp. Runs in the mirror worker.
#include "kubernetes/credentials/file_stamp.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <cstdint>

namespace dbnet::kubernetes {
namespace {

std::string stamp_of(const std::string &file) {
    struct stat found {};
    if (stat(file.c_str(), &found) != 0)
        return {};
    std::string stamp;
    // Of the times the inode's last change alone: no writer can set it, and it tells of permissions too.
    for (const auto number : {static_cast<uint64_t>(found.st_dev), static_cast<uint64_t>(found.st_ino),
                              static_cast<uint64_t>(found.st_size), static_cast<uint64_t>(found.st_ctim.tv_sec),
                              static_cast<uint64_t>(found.st_ctim.tv_nsec)})
        stamp += std::to_string(number) + ' ';
    return stamp;
}

void add_file(const std::string &file, FileStamps &files) {
    if (!file.empty() && !files.contains(file))
        files.emplace(file, stamp_of(file));
}

} // namespace

void add_files(std::string_view path_list, FileStamps &files) {
    while (!path_list.empty()) {
        const size_t end = std::min(path_list.find(':'), path_list.size());
        add_file(std::string(path_list.substr(0, end)), files);
        path_list.remove_prefix(std::min(end + 1, path_list.size()));
    }
}

void add_files(const Connection &connection, FileStamps &files) {
    for (const std::string &file :
         {connection.ca_file, connection.client_cert_file, connection.client_key_file, connection.token_file})
        add_file(file, files);
}

FileStamps look_again(const FileStamps &files) {
    FileStamps now;
    for (const auto &[file, stamp] : files)
        add_file(file, now);
    return now;
}

} // namespace dbnet::kubernetes

#include "pg/no_postgres.hpp"
