# Interfaces are the agent's business; the names are the kernel's.
export DIB_APT_MINIMAL_CREATE_INTERFACES=0
export SOURCE_DATE_EPOCH ASTARA_IMAGE_VERSION ASTARA_DEBUG_USER ASTARA_DEBUG_PASSWORD
