/* A library that lies beside the modules that need it. */
int beside(void);
__attribute__((visibility("default"))) int beside(void)
{
	return 1;
}
