// The name of this installation. Backends and mirror worker.
#include "mirror/store/instance.hpp"

#include <array>
#include <cstdint>
#include <cstdio>
#include <fstream>

#include <sys/stat.h>
#include <unistd.h>

extern "C" {
#include "postgres.h"

#include "miscadmin.h"
}

namespace dbnet::mirror {

namespace {

std::string name_this() {
    std::array<char, 256> host{};
    if (gethostname(host.data(), host.size() - 1) != 0)
        host[0] = '\0';
    std::string boot;
    std::getline(std::ifstream("/proc/sys/kernel/random/boot_id"), boot);
    struct stat directory {};
    if (stat(DataDir, &directory) != 0)
        directory.st_ino = 0;
    std::string text =
        boot + '/' + std::to_string(directory.st_dev) + '/' + std::to_string(directory.st_ino) + '/' + DataDir;
    uint64_t hash = 14695981039346656037u; // FNV-1a
    for (const char c : text)
        hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
    std::array<char, 20> digits{};
    snprintf(digits.data(), digits.size(), "_%016llx", static_cast<unsigned long long>(hash));
    return std::string(host.data()) + digits.data();
}

} // namespace

const std::string &instance_identity() {
    static const std::string identity = name_this();
    return identity;
}

} // namespace dbnet::mirror
