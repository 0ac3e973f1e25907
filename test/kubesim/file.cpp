// Whole files in and out.
#include "file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <fstream>
#include <openssl/evp.h>
#include <sstream>
#include <stdexcept>
#include <unistd.h>

namespace kubesim {

std::string read_file(const std::string &path) {
    std::ifstream in(path, std::ios::binary);
    if (!in)
        throw std::runtime_error("cannot read " + path + ": " + strerror(errno));
    std::ostringstream text;
    text << in.rdbuf();
    return text.str();
}

void write_file(const std::string &path, const std::string &text, int mode) {
    std::string temporary = path + ".new";
    unlink(temporary.c_str());
    int descriptor = open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    bool written = descriptor >= 0 && write(descriptor, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    if (descriptor >= 0)
        close(descriptor);
    if (!written || rename(temporary.c_str(), path.c_str()) != 0)
        throw std::runtime_error("cannot write " + path + ": " + strerror(errno));
}

std::string base64(const std::string &bytes) {
    std::string out(4 * ((bytes.size() + 2) / 3), '\0');
    EVP_EncodeBlock(reinterpret_cast<unsigned char *>(out.data()),
                    reinterpret_cast<const unsigned char *>(bytes.data()), static_cast<int>(bytes.size()));
    return out;
}

bool base64_decode(const std::string &text, std::string &bytes) {
    std::string padded = text;
    while (padded.size() % 4)
        padded += '=';
    bytes.resize(padded.size() / 4 * 3);
    int length =
        EVP_DecodeBlock(reinterpret_cast<unsigned char *>(bytes.data()),
                        reinterpret_cast<const unsigned char *>(padded.data()), static_cast<int>(padded.size()));
    if (length < 0)
        return false;
    size_t padding = padded.ends_with("==") ? 2 : padded.ends_with("=") ? 1 : 0;
    bytes.resize(length - padding);
    return true;
}

} // namespace kubesim
